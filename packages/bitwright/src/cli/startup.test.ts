// `bitwright --help` and `--version` answer at once because they load next to nothing. What they load is counted, not how long it takes. A module
// that a verb needs is imported by that verb, inside its action where it can be; if one of these lists has to grow, `npm run bench -- startup`
// says what it costs.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const launcher = fileURLToPath(new URL('../../bin/bitwright.js', import.meta.url))

/** Loaded before everything else: names every file that is loaded after it, one a line on stderr. */
const listing = `data:text/javascript,${encodeURIComponent(`
  import { writeSync } from 'node:fs'
  import { registerHooks } from 'node:module'
  registerHooks({
    load(url, context, next) {
      if (url.startsWith('file:')) writeSync(2, url + '\\n')
      return next(url, context)
    },
  })
`)}`

/** Files that this command line loads: the toolkit's from its folder, packages by their names. */
function loaded(...args: string[]): string[] {
  const { status, stderr } = spawnSync(process.execPath, ['--import', listing, launcher, ...args], { encoding: 'utf8' })
  expect(status).toBe(0)
  const names = stderr.split('\n').flatMap((url) => {
    const name = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? /\/packages\/(.*)$/.exec(url)?.[1]
    return name === undefined ? [] : [name.replace(/^bitwright\//, '')]
  })
  return [...new Set(names)].toSorted()
}

const always = ['bin/bitwright.js', 'commander', 'src/cli/main.ts', 'src/cli/nearest.ts', 'src/cli/verb.ts', 'src/errors.ts']

test.each([['--help'], ['--version']])('%s loads the launcher and the list of verbs', (flag) => {
  expect(loaded(flag)).toEqual(always)
})

test('the help of a verb loads its flags and nothing that does the work', () => {
  expect(loaded('train', '--help')).toEqual([...always, 'src/cli/study-flags.ts', 'src/cli/train.ts'].toSorted())
})
