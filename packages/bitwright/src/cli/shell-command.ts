// The command as a reader can paste it into a shell again: quoted where needed, without the flags that belong to one sitting.

export function shellCommand(verb: string, args: readonly string[]): string {
  const lasting = args.filter((arg) => arg !== '--resume' && arg !== '--json')
  return ['npx bitwright', verb, ...lasting.map(quote)].join(' ')
}

function quote(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", String.raw`'\''`)}'`
}
