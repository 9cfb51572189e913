/**
 * Who may open a WebSocket. Browsers send any page's requests to any address, loopback included, and attach the page's
 * Origin; names that point to 127.0.0.1 (DNS rebinding) show in Host. Both are checked; programs send no Origin.
 */
import { isIP } from 'node:net';

export interface UpgradeRules {
  /** Origins beyond the listener's own, as `scheme://host[:port]`. */
  readonly allowedOrigins: readonly string[];
  /** Host names beyond IP addresses, localhost and the host the listener is bound to. */
  readonly allowedHosts: readonly string[];
  readonly boundHost: string;
}

/** Rules as a user writes them in the form in which headers are compared with them. */
export function normalizeRules({ allowedOrigins, allowedHosts, boundHost }: UpgradeRules): UpgradeRules {
  return {
    allowedOrigins: allowedOrigins.map(normalizeOrigin),
    allowedHosts: allowedHosts.map((host) => hostName(host) ?? host.toLowerCase()),
    boundHost: boundHost.toLowerCase(),
  };
}

/** As browsers send it: lower case, no default port, no path. What is no URL (`null`) stays. */
function normalizeOrigin(origin: string): string {
  const parsed = URL.canParse(origin) ? new URL(origin).origin : 'null';
  return parsed === 'null' ? origin : parsed;
}

/** Undefined if the request may go on, else why not. Takes normalized rules. */
export function refuseUpgrade(
  headers: { readonly host?: string | undefined; readonly origin?: string | undefined },
  rules: UpgradeRules,
): string | undefined {
  const { host, origin } = headers;
  if (host === undefined) return 'The request has no Host header.';
  const name = hostName(host);
  if (name === undefined || !isKnownHost(name, rules)) {
    return `Host ${shown(host)} is not known here. If it is right, start the broker with --allowed-hosts.`;
  }
  if (origin === undefined) return undefined;
  const isSameOrigin = origin === `http://${host}` || origin === `https://${host}`;
  if (isSameOrigin || rules.allowedOrigins.includes(origin)) return undefined;
  return `Origin ${shown(origin)} is not allowed. If it is yours, start the broker with --allowed-origins.`;
}

function isKnownHost(name: string, { allowedHosts, boundHost }: UpgradeRules): boolean {
  return isIP(name) !== 0 || name === 'localhost' || name === boundHost || allowedHosts.includes(name);
}

/** The name without port and brackets, in lower case; undefined if it is no host. */
function hostName(host: string): string | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]+))(?::\d{1,5})?$/.exec(host);
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

/** Foreign text for a message: printable and short. */
function shown(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
