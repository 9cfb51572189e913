export const SUBPROTOCOL = 'burrow.v1';
