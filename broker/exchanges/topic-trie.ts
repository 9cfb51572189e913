/**
 * Bindings of a topic exchange, as a trie over the words of their keys (AMQP 0-9-1, 3.1.3.3). Words are what stands
 * between dots; the empty key has none. In a binding key
 *
 *     *      is any one word, also an empty one
 *     #      is any number of words, also none
 *     a*c    is a word that begins with "a" and ends with "c": an extension, RabbitMQ takes it for a literal word
 *
 * A routing key is matched word by word against all keys at once: the trie is an automaton of which several nodes are
 * active. So the cost depends on the words of the patterns that share their beginning with the routing key, not on the
 * number of bindings, and there is no key that makes it explode: no node is entered twice for a word.
 */
import type { BindingMatcher, MatchedBinding, RoutableMessage } from './binding-matcher.ts';
import type { Destination } from './destination.ts';
import { DestinationSet } from './destination-set.ts';

class TrieNode {
  /** The word that leads here. */
  readonly word: string;
  /** By literal word. */
  words: Map<string, TrieNode> | undefined;
  /** By words with `*` among other characters. */
  patterns: Map<string, TrieNode> | undefined;
  /** Of `*`. */
  anyWord: TrieNode | undefined;
  /** Of `#`. */
  anyWords: TrieNode | undefined;
  /** Of the keys that end here. */
  destinations: DestinationSet | undefined;
  /** The last step of matching that entered this node. */
  step = 0;

  constructor(word: string) {
    this.word = word;
  }

  get isEmpty(): boolean {
    return (
      this.destinations === undefined &&
      this.anyWord === undefined &&
      this.anyWords === undefined &&
      this.words === undefined &&
      this.patterns === undefined
    );
  }
}

export class TopicTrie implements BindingMatcher {
  readonly looksAt = 'routing-keys';
  readonly #root = new TrieNode('');
  #step = 0;
  #nodesEntered = 0;
  #active: TrieNode[] = [];
  #next: TrieNode[] = [];

  /** How many nodes all matching so far has entered: the work, for tests. */
  get nodesEntered(): number {
    return this.#nodesEntered;
  }

  /** For tests. One is the root. */
  get nodeCount(): number {
    return countNodes(this.#root);
  }

  add({ destination, bindingKey }: MatchedBinding): void {
    let node = this.#root;
    for (const word of patternWords(bindingKey)) node = child(node, word) ?? addChild(node, word);
    node.destinations ??= new DestinationSet();
    node.destinations.add(destination);
  }

  remove({ destination, bindingKey }: MatchedBinding): void {
    const path = [this.#root];
    for (const word of patternWords(bindingKey)) {
      const node = child(path.at(-1)!, word);
      if (node === undefined) return;
      path.push(node);
    }
    const end = path.at(-1)!;
    end.destinations?.remove(destination);
    if (end.destinations?.items.length === 0) end.destinations = undefined;
    for (let depth = path.length - 1; depth > 0 && path[depth]!.isEmpty; depth--) {
      removeChild(path[depth - 1]!, path[depth]!);
    }
  }

  match(_message: RoutableMessage, routingKey: string, into: Destination[]): void {
    this.#begin();
    this.#enter(this.#root);
    if (routingKey !== '') {
      let start = 0;
      for (;;) {
        const dot = routingKey.indexOf('.', start);
        this.#take(routingKey.slice(start, dot === -1 ? routingKey.length : dot));
        if (dot === -1 || this.#next.length === 0) break;
        start = dot + 1;
      }
    }
    const ends = this.#next;
    for (let index = 0; index < ends.length; index++) {
      const items = ends[index]!.destinations?.items;
      if (items === undefined) continue;
      for (let item = 0; item < items.length; item++) into.push(items[item]!);
    }
  }

  /** The nodes that were entered last become the active ones. */
  #begin(): void {
    const active = this.#next;
    this.#next = this.#active;
    this.#next.length = 0;
    this.#active = active;
    this.#step++;
  }

  #take(word: string): void {
    this.#begin();
    const active = this.#active;
    for (let index = 0; index < active.length; index++) {
      const node = active[index]!;
      if (node.word === '#') this.#enter(node);
      if (node.anyWord !== undefined) this.#enter(node.anyWord);
      const literal = node.words?.get(word);
      if (literal !== undefined) this.#enter(literal);
      if (node.patterns === undefined) continue;
      for (const pattern of node.patterns.values()) if (wordMatches(pattern.word, word)) this.#enter(pattern);
    }
  }

  /** A node, and what follows it without a word. */
  #enter(node: TrieNode): void {
    if (node.step === this.#step) return;
    node.step = this.#step;
    this.#nodesEntered++;
    this.#next.push(node);
    if (node.anyWords !== undefined) this.#enter(node.anyWords);
  }
}

/** `#.#` means the same as `#`, `a` `**` `c` the same as `a*c`. */
function patternWords(bindingKey: string): string[] {
  if (bindingKey === '') return [];
  const words = bindingKey.split('.').map((word) => word.replace(/\*+/g, '*'));
  return words.filter((word, index) => word !== '#' || words[index - 1] !== '#');
}

function child(node: TrieNode, word: string): TrieNode | undefined {
  if (word === '#') return node.anyWords;
  if (word === '*') return node.anyWord;
  return (word.includes('*') ? node.patterns : node.words)?.get(word);
}

function addChild(node: TrieNode, word: string): TrieNode {
  const added = new TrieNode(word);
  if (word === '#') node.anyWords = added;
  else if (word === '*') node.anyWord = added;
  else if (word.includes('*')) {
    node.patterns ??= new Map();
    node.patterns.set(word, added);
  } else {
    node.words ??= new Map();
    node.words.set(word, added);
  }
  return added;
}

function removeChild(node: TrieNode, { word }: TrieNode): void {
  if (word === '#') node.anyWords = undefined;
  else if (word === '*') node.anyWord = undefined;
  else if (word.includes('*')) {
    node.patterns?.delete(word);
    if (node.patterns?.size === 0) node.patterns = undefined;
  } else {
    node.words?.delete(word);
    if (node.words?.size === 0) node.words = undefined;
  }
}

function countNodes({ words, patterns, anyWord, anyWords }: TrieNode): number {
  let count = 1;
  for (const node of [...(words?.values() ?? []), ...(patterns?.values() ?? []), anyWord, anyWords]) {
    if (node !== undefined) count += countNodes(node);
  }
  return count;
}

/**
 * Whether `word` is `pattern` with any run of characters for each `*`. What stands before the last `*` that was met is
 * matched for good, so it never goes back behind that: at most the product of both lengths.
 */
function wordMatches(pattern: string, word: string): boolean {
  let p = 0;
  let w = 0;
  let star = -1;
  let resume = 0;
  while (w < word.length) {
    if (pattern.charCodeAt(p) === 0x2a) {
      star = p++;
      resume = w;
    } else if (p < pattern.length && pattern.charCodeAt(p) === word.charCodeAt(w)) {
      p++;
      w++;
    } else if (star !== -1) {
      p = star + 1;
      w = ++resume;
    } else return false;
  }
  while (pattern.charCodeAt(p) === 0x2a) p++;
  return p === pattern.length;
}
