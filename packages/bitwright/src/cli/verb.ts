// What every verb's command has in common: errors are thrown, not printed, so that main.ts says them in one way with one exit code.
import { Command } from 'commander'

export function verb(name: string, summary: string): Command {
  return new Command(name)
    .description(summary)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .configureHelp({ showGlobalOptions: false })
    .helpOption('-h, --help', 'show this text')
}

/** The one document of `--json` on stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`)
}
