/** The world in which the orders happen: who has how much money, what is in stock, where parcels go. Not all can be had. */

export const STARTING_CENTS: ReadonlyMap<string, number> = new Map([
  ['ada', 60_000],
  ['ben', 25_000],
  ['cleo', 90_000],
  ['dov', 12_000],
  ['penniless', 0],
]);

export const STARTING_STOCK: ReadonlyMap<string, number> = new Map([
  ['teapot', 60],
  ['kettle', 25],
  ['samovar', 8],
  ['unicorn', 0],
]);

export const PRICES_CENTS: ReadonlyMap<string, number> = new Map([
  ['teapot', 1_500],
  ['kettle', 4_000],
  ['samovar', 9_000],
  ['unicorn', 100],
]);

export const COUNTRIES = ['Germany', 'France', 'Japan', 'Atlantis'];
/** No ship that was sent there came back. */
export const NOT_SERVED = 'Atlantis';

/** Rows for `insert into … values`, from a map of names that this file has made. */
export function sqlRows(amounts: ReadonlyMap<string, number>): string {
  return Array.from(amounts, ([name, amount]) => `('${name}', ${amount})`).join(', ');
}
