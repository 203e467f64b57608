// Flags are typed with hyphens and kept in camelCase.

/** `weightBits` is the flag `--weight-bits`. */
export function flagName(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}
