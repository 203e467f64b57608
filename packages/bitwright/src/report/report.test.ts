// The report on whole, partial and hostile runs. What the page looks like was judged by eye; here it is what must hold for any run.
import { describe, expect, test } from 'vitest'
import type { StudyEvent } from '../study/events.ts'
import { paretoFront } from './front-chart.ts'
import { escapeHtml, html, trusted } from './html.ts'
import { gatherReport } from './report-data.ts'
import { renderReport } from './report.ts'
import { paddedDomain, ticks } from './scale.ts'
import { sampleClasses, sampleEvents } from './testing/sample-events.ts'
import { bytes, count, duration, percent } from './units.ts'

const whole = sampleEvents()
const page = renderReport(whole)

/** Elements in order, without the contents of script and style. Throws where a tag is not closed in its place. */
function elements(markup: string): string[] {
  const voids = new Set(['meta', 'link', 'input', 'br'])
  const names: string[] = []
  const open: string[] = []
  const bare = markup.replace(/<(script|style)>[\s\S]*?<\/\1>/g, '<$1></$1>').replace(/^<!doctype html>/i, '')
  for (const [, closing, name, selfClosing] of bare.matchAll(/<(\/?)([a-z][a-z0-9]*)(?:\s+[\w-]+(?:="[^"]*")?)*\s*(\/?)>|<[^\s]/gi)) {
    if (name === undefined) throw new Error('a < that starts no known tag')
    if (closing) {
      const expected = open.pop()
      if (expected !== name) throw new Error(`</${name}> closes <${expected}>`)
    } else {
      names.push(name)
      if (!voids.has(name) && !selfClosing) open.push(name)
    }
  }
  if (open.length > 0) throw new Error(`never closed: ${open.join(' ')}`)
  return names
}

const stream: StudyEvent = {
  type: 'stream',
  minutes: 20,
  seed: 0,
  wantedFalseAcceptsPerHour: 1,
  isFrameByFrame: true,
  signalToNoise: { lowest: 10, highest: 25 },
  otherWords: 304,
  settings: { smoothingSeconds: 0.2, threshold: 0.9, refractorySeconds: 0.5, ignoredClasses: ['_unknown_'] },
  scores: {
    recall: 0.75,
    hits: 150,
    words: 200,
    falseAccepts: 1,
    falseAcceptsOn: { keywords: 0, otherWords: 1, otherClips: 1, noise: 0 },
    falseAcceptsPerHour: 3,
    latency: { median: 0.25, ninetieth: 0.5 },
  },
  validation: {
    minutes: 60,
    scores: {
      recall: 0.7,
      hits: 420,
      words: 600,
      falseAccepts: 1,
      falseAcceptsOn: { keywords: 1, otherWords: 0, otherClips: 0, noise: 0 },
      falseAcceptsPerHour: 1,
    },
  },
  curve: [
    { threshold: 0.2, recall: 0.95, falseAcceptsPerHour: 900 },
    { threshold: 0.5, recall: 0.9, falseAcceptsPerHour: 40 },
    { threshold: 0.9, recall: 0.75, falseAcceptsPerHour: 3 },
    { threshold: 0.99, recall: 0, falseAcceptsPerHour: 0 },
  ],
}

describe('report of a run that was evaluated on a stream', () => {
  const evaluated = renderReport([...whole, { ...stream, minutes: 5 }, stream])
  const section = evaluated.slice(evaluated.indexOf('id="stream"'), evaluated.indexOf('</section>', evaluated.indexOf('id="stream"')))

  test('shows the latest figures and the curve with the chosen point on it', () => {
    elements(evaluated)
    expect(section).toContain('75.0 % of the words at 3.0 false accepts an hour')
    for (const text of ['150 of 200', '1 in 20 minutes', '1, of 1 clips', '0.25 s (nine of ten: 0.50 s)', '70.0 % at 1.0 an hour'])
      expect(section).toContain(text)
    const dots = [...section.matchAll(/<circle\s+class="dot (\w+)"\s+cx="([\d.]+)"\s+cy="([\d.]+)"/g)].map(([, colour, x, y]) => [
      colour,
      x,
      y,
    ])
    // what lies beyond 60 an hour is left out
    expect(dots.map(([colour]) => colour)).toEqual(['accent', 'accent', 'accent', 'warm'])
    expect(dots[3].slice(1)).toEqual(dots[1].slice(1))
    expect(Number(dots[0][1])).toBeGreaterThan(Number(dots[1][1]))
    expect(Number(dots[0][2])).toBeLessThan(Number(dots[1][2]))
  })

  test('a run that was not has no such part', () => {
    expect(page).not.toContain('id="stream"')
  })
})

describe('report of a whole run', () => {
  test('is well formed and loads nothing', () => {
    expect(elements(page).length).toBeGreaterThan(1000)
    expect(page).not.toMatch(/(?:src|href)="(?!data:,)/)
    expect(page).not.toMatch(/https?:|@import|url\(/)
    expect(page).toContain("default-src 'none'")
  })

  test('has every part', () => {
    for (const id of ['front', 'training', 'confusion', 'bits', 'network', 'differing', 'data', 'command'])
      expect(page).toContain(`id="${id}"`)
    expect(page).not.toContain('class="banner')
    expect(page).not.toMatch(/NaN|undefined|Infinity|\[object/)
  })

  test('draws one point per scored candidate and chart, one arc per residual connection, one cell per pair of classes', () => {
    const scored = gatherReport(whole).candidates.filter(({ score }) => score !== undefined).length
    expect(page.match(/class="point shared"/g)).toHaveLength(scored * 3 * 2)
    expect(page.match(/class="arc"/g)).toHaveLength(4)
    expect(page.match(/<td class="(?:right|wrong)/gi) ?? page.match(/class="(?:right|wrong)/g)).toHaveLength(3 * sampleClasses.length ** 2)
    expect(page).toContain('SincConv 400')
    expect(page).toContain('Depthwise 5×5')
    expect(page).toContain('98×1×60')
  })

  test('shows the integer accuracy first and the budget as a line', () => {
    const evaluation = gatherReport(whole).evaluations.test!
    expect(page).toContain(`${(evaluation.integer!.accuracy * 100).toFixed(1)}<span>%</span>`)
    expect(page).toContain('73 % of the 14M budget')
    expect(page).toContain('budget 14M')
  })

  test('is the same every time', () => expect(renderReport(sampleEvents())).toBe(page))
})

describe('report of a run that is not whole', () => {
  test('renders after any number of events', () => {
    for (let length = 0; length < whole.length; length += 7) {
      const partial = renderReport(whole.slice(0, length))
      expect(() => elements(partial), `after ${length}`).not.toThrow()
      expect(partial, `after ${length}`).not.toMatch(/NaN|undefined|Infinity/)
      expect(partial).toContain('Not finished')
    }
  })

  test('an interrupted run says how to go on, a failed one why it failed', () => {
    const start = whole.slice(0, 30)
    const interrupted = renderReport([...start, { type: 'interrupted', stage: 'search', epoch: 4 }])
    expect(interrupted).toMatch(/Interrupted<\/b>\s+in stage search, epoch 4/)
    expect(interrupted).toContain('first try&#39; --resume')
    expect(renderReport([...start, { type: 'failed', message: 'no candidate fits <32k' }])).toContain('no candidate fits &lt;32k')
    expect(renderReport([...start, { type: 'interrupted', stage: 'search', epoch: 4 }, ...whole.slice(30)])).not.toContain('class="banner')
  })

  test('epochs trained again after a resume replace the first time', () => {
    const epoch = whole.find((event) => event.type === 'epoch')!
    const again = { ...epoch, trainLoss: 77 } as StudyEvent
    const { epochs } = gatherReport([...whole, { type: 'resumed', fromEpoch: 1, stage: 'warmup' }, again])
    expect(epochs).toHaveLength(120)
    expect(epochs[0].trainLoss).toBe(77)
  })

  test('the time of a stage is that of all sittings, whether they were stopped or lost', () => {
    const stage = (state: 'started' | 'finished', seconds?: number): StudyEvent => ({
      type: 'stage',
      stage: 'train',
      state,
      ...(seconds !== undefined && { seconds }),
    })
    const some = whole.find((event) => event.type === 'epoch')!
    const epoch = (number: number, seconds: number): StudyEvent => ({ ...some, stage: 'train', epoch: number, seconds })
    const resumed: StudyEvent = { type: 'resumed', fromEpoch: 2, stage: 'train' }
    const stopped: StudyEvent[] = [stage('started'), epoch(1, 100), epoch(2, 100), { type: 'interrupted', stage: 'train', epoch: 2 }]
    const lost: StudyEvent[] = [resumed, stage('started'), epoch(3, 50)]
    const last: StudyEvent[] = [resumed, stage('started'), epoch(3, 30), stage('finished', 32)]
    const finished: StudyEvent = { type: 'finished', report: 'report.html', seconds: 300 }
    // stopped after its last epoch, it is not started again
    const warmup: StudyEvent[] = [
      { type: 'stage', stage: 'warmup', state: 'started' },
      { ...some, stage: 'warmup', seconds: 10 },
    ]
    const events = [...warmup, ...stopped, ...lost, ...last, finished]
    expect(new Map(gatherReport(events).stageSeconds.map(({ stage: name, seconds }) => [name, seconds]))).toEqual(
      new Map([
        ['train', 282],
        ['warmup', 10],
      ]),
    )
    expect(renderReport(events)).toContain(`train ${duration(282)}, warm-up ${duration(10)}`)
  })

  test('numbers that are not finite become gaps', () => {
    const broken = whole.map((event) => (event.type === 'epoch' && event.epoch === 3 ? { ...event, trainLoss: Number.NaN } : event))
    expect(renderReport(broken)).not.toMatch(/NaN/)
  })
})

describe('report of a hostile run', () => {
  const attack = `"><script>alert(1)</script><img src=x onerror=alert(1)>'</style>&`
  const hostile = sampleEvents([attack, ...sampleClasses.slice(1)]).map((event): StudyEvent => {
    if (event.type === 'started') return { ...event, command: attack, version: attack, backend: attack, spec: { [attack]: attack } }
    if (event.type === 'data') return { ...event, directory: attack }
    if (event.type === 'candidate') return { ...event, origin: attack, ...(event.dropped && { dropped: attack }) }
    if (event.type === 'network') {
      const layers = event.layers.map((layer) => ({ ...layer, id: `${attack}${layer.id}` }))
      const nodes = event.network.nodes.map((node) => ({ ...node, id: attack + node.id, inputs: node.inputs.map((id) => attack + id) }))
      return { ...event, layers, network: { ...event.network, name: attack, nodes } }
    }
    if (event.type === 'evaluation' && event.differing)
      return { ...event, differing: event.differing.map((clip) => ({ ...clip, path: attack })) }
    return event
  })

  test.each([
    ['finished', hostile],
    ['failed', [...hostile, { type: 'failed', message: attack } as const]],
  ])('a %s one adds no element', (_, events) => {
    const markup = renderReport(events)
    const names = elements(markup)
    expect(names.filter((name) => name === 'script')).toHaveLength(1)
    expect(names).not.toContain('img')
    expect(markup).toContain(escapeHtml(attack))
    expect(markup).not.toContain('<script>alert')
  })

  test('html escapes strings, keeps markup, and writes nothing for false', () => {
    expect(html`<a title="${'"<&\''}">${[html`<b>${'<'}</b>`, 1.005, false, undefined]}</a>${trusted('<i>')}`.markup).toBe(
      '<a title="&quot;&lt;&amp;&#39;"><b>&lt;</b>1</a><i>',
    )
  })
})

describe('chart arithmetic', () => {
  test('ticks are round, inside, and about as many as asked', () => {
    expect(ticks([0, 1], 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1])
    expect(ticks([4.1e6, 17e6], 8)).toEqual([6e6, 8e6, 10e6, 12e6, 14e6, 16e6])
    expect(ticks([0.831, 0.893], 4)).toEqual([0.84, 0.86, 0.88])
    expect(ticks([3, 3], 4)).toEqual([3])
  })

  test('a padded domain never passes its limits and survives nothing to show', () => {
    expect(paddedDomain([0.5, 1], 0.1, 0, 1)).toEqual([0.45, 1])
    expect(paddedDomain([Number.NaN], 0.1)).toEqual([0, 1])
    const [low, high] = paddedDomain([0, 0], 0.1)
    expect(high).toBeGreaterThan(low)
  })

  test('the front holds exactly the candidates that nothing beats', () => {
    const points = [
      [3, 0.8],
      [1, 0.5],
      [2, 0.8],
      [2, 0.7],
      [4, 0.8],
      [5, 0.9],
    ].map(([macs, score], id) => ({ id, score, cost: { macs } })) as unknown as Parameters<typeof paretoFront>[0]
    expect(paretoFront(points, 'macs').map(({ id }) => id)).toEqual([1, 2, 5])
  })

  test('numbers read as people write them', () => {
    expect([count(75_700), count(13_600_000), count(999_950), count(12), count(0.5)]).toEqual(['75.7k', '13.6M', '1.00M', '12', '0.50'])
    expect([bytes(31_949), bytes(500), bytes(3 * 1024 ** 2)]).toEqual(['31.2 KiB', '500 B', '3 MiB'])
    expect([duration(5.2), duration(75), duration(4000), duration(59.7)]).toEqual(['5 s', '1:15', '1:06:40', '1:00'])
    expect(percent(0.92345)).toBe('92.3 %')
  })
})

describe('finalists', () => {
  const candidates = whole.flatMap((event) => (event.type === 'candidate' ? [event] : []))
  const finalist = (index: number, accuracies: number[], chosen = false, dropped?: string): StudyEvent => ({
    ...candidates[index],
    score: accuracies.reduce((sum, accuracy) => sum + accuracy, 0) / Math.max(1, accuracies.length),
    scoreKind: 'trained',
    accuracies,
    sharedScore: 0.512,
    chosen,
    ...(dropped !== undefined && { dropped }),
  })

  test('are a table, the chosen one first, with all their trainings', () => {
    const shown = renderReport([
      ...whole,
      finalist(1, [0.91]),
      finalist(2, [0.9, 0.8], true),
      finalist(3, [0.85, 0.75]),
      finalist(4, [], false, 'the <loss> is NaN'),
    ])
    const table = shown.slice(shown.indexOf('id="finalists"'), shown.indexOf('</table>', shown.indexOf('id="finalists"')))
    const rows = [...table.matchAll(/<tr>([\s\S]*?)<\/tr>/g)].slice(1).map(([row]) =>
      row
        .replaceAll(/<[^>]*>/g, ' ')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    )
    expect(rows[0]).toMatch(new RegExp(`^${candidates[2].id} 85\\.0 % 90\\.0 %, 80\\.0 % 51\\.2 % .* chosen$`))
    expect(rows[1]).toMatch(new RegExp(`^${candidates[3].id} 80\\.0 % 85\\.0 %, 75\\.0 % `))
    expect(rows[2]).toMatch(new RegExp(`^${candidates[1].id} 91\\.0 % 91\\.0 % `))
    expect(rows[3]).toContain('given up: the &lt;loss&gt; is NaN')
    expect(page).not.toContain('id="finalists"')
  })
})

describe('the front of a joint search', () => {
  const network = whole.flatMap((event) => (event.type === 'network' ? [event.network] : []))[0]
  const member = (accuracy: number, flashBytes: number, latencyMs?: number) => ({
    flashBytes,
    ramBytes: 2048,
    macs: 1_500_000,
    ...(latencyMs !== undefined && { latencyMs }),
    weightBits: 3.25,
    activationBits: 5.5,
    accuracy,
    decisions: [1, 2],
    network,
  })
  const pageOf = (members: readonly ReturnType<typeof member>[]) => renderReport([...whole, { type: 'front', members, chosen: 1 }])

  test('is a table of its members, with the one that was trained', () => {
    const shown = pageOf([member(0.8, 10_240), member(0.912, 20_480)])
    const names = elements(shown)
    expect(names.filter((name) => name === 'tr').length).toBe(elements(page).filter((name) => name === 'tr').length + 3)
    const rows = [...shown.slice(shown.indexOf('id="members"')).matchAll(/<tr>([\s\S]*?)<\/tr>/g)].slice(0, 3).map(([row]) =>
      row
        .replaceAll(/<[^>]*>/g, ' ')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    )
    expect(rows).toEqual([
      'member accuracy flash RAM MACs weight bits activation bits',
      '0 80.0 % 10 KiB 2 KiB 1.50M 3.25 5.50',
      '1 91.2 % 20 KiB 2 KiB 1.50M 3.25 5.50 trained',
    ])
  })

  test('tells milliseconds where the target does', () => {
    expect(pageOf([member(0.8, 10_240, 12.345)])).toContain('12.3 ms')
    expect(page).not.toContain('id="members"')
  })
})
