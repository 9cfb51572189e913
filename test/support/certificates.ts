/** Authorities and certificates for tests of TLS, made with openssl in a folder that goes with the test. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export class Authority {
  readonly folder: string;
  readonly certificate: Certificate;

  constructor(name: string) {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-tls-'));
    onTestFinished(() => fs.rmSync(this.folder, { recursive: true, force: true }));
    const { certFile, keyFile } = this.#files('ca');
    openssl(['req', '-x509', ...newKey(keyFile), '-out', certFile, '-days', '2', '-subj', `/CN=${name}`]);
    this.certificate = read(certFile, keyFile);
  }

  /** For 127.0.0.1 and localhost. `subject` is like `/O=acme/CN=me`. */
  issue(file: string, subject: string): Certificate {
    const { certFile, keyFile } = this.#files(file);
    const request = path.join(this.folder, `${file}.csr`);
    const extensions = path.join(this.folder, `${file}.ext`);
    fs.writeFileSync(extensions, 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    openssl(['req', ...newKey(keyFile), '-out', request, '-subj', subject]);
    openssl([
      ...['x509', '-req', '-in', request, '-days', '2', '-extfile', extensions, '-out', certFile],
      ...['-CA', this.certificate.certFile, '-CAkey', this.certificate.keyFile, '-CAcreateserial'],
    ]);
    return read(certFile, keyFile);
  }

  #files(name: string): { readonly certFile: string; readonly keyFile: string } {
    return { certFile: path.join(this.folder, `${name}.pem`), keyFile: path.join(this.folder, `${name}.key`) };
  }
}

function newKey(file: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file];
}

function openssl(words: readonly string[]): void {
  execFileSync('openssl', words, { stdio: 'pipe' });
}

function read(certFile: string, keyFile: string): Certificate {
  return { certFile, keyFile, cert: fs.readFileSync(certFile), key: fs.readFileSync(keyFile) };
}
