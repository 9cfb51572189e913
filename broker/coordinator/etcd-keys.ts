/** Keys and entries as etcd has them: bytes, all under the prefix of this cluster. */
import type { ICompare, IKeyValue } from 'etcd3';
import type { CoordinatorCondition, CoordinatorEntry } from './coordinator.ts';

export class EtcdKeys {
  readonly #prefix: string;

  /** @param prefix - does not end with `/` */
  constructor(prefix: string) {
    this.#prefix = `${prefix}/`;
  }

  encode(key: string): Buffer {
    return Buffer.from(this.#prefix + key, 'utf8');
  }

  decode(key: Buffer): string {
    return key.toString('utf8').slice(this.#prefix.length);
  }

  /** All keys that start with `prefix`. */
  range(prefix: string): { readonly key: Buffer; readonly range_end: Buffer } {
    const key = this.encode(prefix);
    return { key, range_end: firstBehind(key) };
  }

  entry({ key, value, create_revision, mod_revision, lease }: IKeyValue): CoordinatorEntry {
    return {
      key: this.decode(key),
      value: value.toString('utf8'),
      createRevision: Number(create_revision),
      modRevision: Number(mod_revision),
      ...(lease === '0' ? {} : { leaseId: lease }),
    };
  }

  compare(condition: CoordinatorCondition): ICompare {
    const key = this.encode(condition.key);
    return 'revision' in condition
      ? { key, target: 'Mod', result: 'Equal', mod_revision: condition.revision }
      : { key, target: 'Create', result: 'Equal', create_revision: condition.createRevision };
  }
}

/** The first key that does not start with `key`. UTF-8 has no byte FF, so its last byte can grow. */
function firstBehind(key: Buffer): Buffer {
  const end = Buffer.from(key);
  end[end.byteLength - 1]! += 1;
  return end;
}
