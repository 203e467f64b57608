// docs/cli.md says what --help says: each flag of each verb, and none that is not there. Links and named files of all pages exist.
import type { Command } from 'commander'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../../..')
const shared = 'Flags that search and train share'
const verbs = [
  'search',
  'train',
  'adapt',
  'evaluate',
  'hardware',
  'info',
  'listen',
  'predict',
  'export',
  'firmware',
  'data',
  'report',
  'quickstart',
]

/** The parts of the page by heading, without those of deeper headings. */
function sections(markdown: string): Map<string, string> {
  const parts = markdown.split(/^#{2,3} (.+)$/m)
  return new Map(parts.slice(1).flatMap((heading, i) => (i % 2 === 0 ? [[heading, parts[i + 2]] as const] : [])))
}

/** The flags in the first column of a part's tables, with their argument: `--seed <N>`. */
function flagsIn(text: string): string[] {
  return [...text.matchAll(/^\| `(--[^`]+)` \|/gm)].map((match) => match[1].replaceAll('\\|', '|'))
}

function flagsOf(command: Command): string[] {
  return command.options.map((option) => option.flags)
}

describe('docs/cli.md', () => {
  const page = sections(readFileSync(join(root, 'docs/cli.md'), 'utf8'))
  const documented = (heading: string) => flagsIn(page.get(heading) ?? '')

  test.each(verbs)('%s', async (name) => {
    const { command } = (await import(`./${name}.ts`)) as { command: () => Command }
    const verb = command()
    for (const each of verb.commands.length > 0 ? verb.commands : [verb]) {
      const heading = each === verb ? name : `${name} ${each.name()}`
      const both = ['search', 'train'].includes(name) ? [...documented(heading), ...documented(shared)] : documented(heading)
      expect(both.toSorted(), heading).toEqual(flagsOf(each).toSorted())
      expect(page.get(heading), `${heading}: an example`).toContain(`npx bitwright ${heading} `)
    }
  })
})

const pages = [
  'README.md',
  'FEATURES.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

test.each(pages)('%s links to files that exist', (page) => {
  const text = readFileSync(join(root, page), 'utf8')
  const links = [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)|src="([^":]+)"/g)].map((match) => match[1] ?? match[2])
  for (const link of links) expect(existsSync(join(root, dirname(page), link)), `${page}: ${link}`).toBe(true)
})

test('every test and bench that FEATURES.md names exists', () => {
  const text = readFileSync(join(root, 'FEATURES.md'), 'utf8')
  const files = [...text.matchAll(/`((?:packages|bench|docs|scripts)\/[^`]+\.ts)`/g)].map((match) => match[1])
  expect(files.length).toBeGreaterThan(20)
  for (const file of files) expect(existsSync(join(root, file)), file).toBe(true)
})
