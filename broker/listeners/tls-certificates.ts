/**
 * Certificate, key and authorities of the TLS listeners, read from files, and read again when these change: certificates that expire are
 * renewed under a running broker. New connections get what was read last; those that are open stay as they are.
 */
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';

export interface TlsFiles {
  /** Paths of PEM files: the certificate with those that lead to its authority, its key, and the authorities of clients. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
}

/** Something that serves with the certificate, such as a `tls.Server`. */
export interface TlsUser {
  setSecureContext(options: SecureContextOptions): void;
}

const CHECK_FILES_EVERY_MS = 10_000;

export class TlsCertificates {
  readonly #files: TlsFiles;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #users = new Set<TlsUser>();
  /** As of which sizes and times of the files. */
  #version: string;
  #context: SecureContextOptions;
  #timer: Timer | undefined;
  #closed = false;

  /** @throws BurrowError INVALID_CONFIG: a file cannot be read or used */
  static async open(files: TlsFiles, clock: Clock, logger: Logger): Promise<TlsCertificates> {
    const version = await versionOf(files);
    const certificates = new TlsCertificates(files, clock, logger, version, await read(files));
    certificates.#watch();
    return certificates;
  }

  private constructor(files: TlsFiles, clock: Clock, logger: Logger, version: string, context: SecureContextOptions) {
    this.#files = files;
    this.#clock = clock;
    this.#logger = logger;
    this.#version = version;
    this.#context = context;
  }

  get context(): SecureContextOptions {
    return this.#context;
  }

  /** It is given every new context, until it is removed. */
  addUser(user: TlsUser): void {
    this.#users.add(user);
  }

  removeUser(user: TlsUser): void {
    this.#users.delete(user);
  }

  /** Reads the files again if they have changed. What cannot be used is logged, and the old stays in use. */
  async reload(): Promise<void> {
    try {
      const version = await versionOf(this.#files);
      if (version === this.#version || this.#closed) return;
      const context = await read(this.#files);
      // In the midst of a renewal the certificate may be new and the key old; then the next look finds both.
      this.#version = version;
      this.#context = context;
      for (const user of this.#users) user.setSecureContext(context);
      this.#logger.info({ cert: this.#files.cert }, 'tls certificate read again');
    } catch (error) {
      this.#logger.error({ err: error }, 'the tls certificate has changed and cannot be used; the old one stays');
    }
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #watch(): void {
    if (this.#closed) return;
    this.#timer = this.#clock.schedule(CHECK_FILES_EVERY_MS, () => void this.reload().then(() => this.#watch()));
  }
}

async function versionOf({ cert, key, ca }: TlsFiles): Promise<string> {
  const versions = await Promise.all(
    [cert, key, ca].map(async (file) => {
      if (file === undefined) return '';
      const { mtimeMs, size, ino } = await stat(file).catch((error: unknown) => {
        throw cannotUse(file, error);
      });
      return `${mtimeMs} ${size} ${ino}`;
    }),
  );
  return versions.join(' ');
}

async function read({ cert, key, ca }: TlsFiles): Promise<SecureContextOptions> {
  const [certBytes, keyBytes, caBytes] = await Promise.all(
    [cert, key, ca].map(async (file) => {
      if (file === undefined) return undefined;
      return readFile(file).catch((error: unknown) => {
        throw cannotUse(file, error);
      });
    }),
  );
  const options = {
    cert: certBytes!,
    key: keyBytes!,
    ...(caBytes === undefined ? {} : { ca: caBytes }),
  };
  try {
    createSecureContext(options);
  } catch (error) {
    throw cannotUse(`${cert}, ${key}${ca === undefined ? '' : `, ${ca}`}`, error);
  }
  return options;
}

/** OpenSSL and the file system say what is wrong without showing what is in the files. */
function cannotUse(file: string, error: unknown): BurrowError {
  const cause = error instanceof Error ? error.message : String(error);
  return new BurrowError('INVALID_CONFIG', `The files for TLS cannot be used: ${file}: ${cause}`);
}
