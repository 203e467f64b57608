// Scores of a run's models as tables: accuracies side by side, recall per class, the confusion matrix.
import type { EvaluateResult, RunResult } from '../study/api.ts'
import type { Adaptation, ClassifierScores, FrontMember, StreamEvaluation } from '../study/events.ts'
import { bytes, count, duration, milliseconds, percent } from '../report/units.ts'
import { textTable } from './text-table.ts'

const models = [
  ['float', 'float'],
  ['fakeQuantized', 'fake-quantized'],
  ['integer', 'integer'],
] as const

type Scored = Pick<EvaluateResult, 'float' | 'fakeQuantized' | 'integer'>

function scored(result: Partial<Scored>): [string, ClassifierScores][] {
  return models.flatMap(([key, label]) => (result[key] ? [[label, result[key]] as [string, ClassifierScores]] : []))
}

/** All models have the same samples. */
const anyScores = (result: Scored): ClassifierScores => scored(result)[0][1]

/** One row a split, one column a model. */
export function accuracyTable(results: readonly EvaluateResult[]): string {
  const columns = models.filter(([key]) => results.some((result) => result[key]))
  const rows = [['accuracy', results[0].things, ...columns.map(([, label]) => label)]]
  for (const result of results) {
    const cells = (text: (scores: ClassifierScores) => string) => columns.map(([key]) => (result[key] ? text(result[key]) : ''))
    rows.push([
      result.split,
      String(anyScores(result).count),
      ...cells((s) => `${percent(s.accuracy)} ± ${(s.standardError * 100).toFixed(1)}`),
    ])
    if (scored(result).some(([, scores]) => scores.accuracyWithoutSilence !== undefined)) {
      rows.push(['  without silence', '', ...cells(withoutSilence)])
    }
  }
  return textTable(rows)
}

/** Padded so that it stands under the accuracy, not under its error. */
function withoutSilence({ accuracyWithoutSilence }: ClassifierScores): string {
  return accuracyWithoutSilence === undefined ? '' : `${percent(accuracyWithoutSilence)}      `
}

/** Recall per class and model. */
export function recallTable(result: EvaluateResult): string {
  const all = scored(result)
  return textTable([
    ['recall', result.things, ...all.map(([label]) => label)],
    ...result.classes.map((name, index) => [
      name,
      String(anyScores(result).confusion[index].reduce((sum, samples) => sum + samples, 0)),
      ...all.map(([, { recall }]) => (Number.isFinite(recall[index]) ? percent(recall[index]) : '-')),
    ]),
  ])
}

/** Rows are the true classes, columns what the model said. */
export function confusionTable(classes: readonly string[], scores: ClassifierScores): string {
  const short = classes.map((name) => name.slice(0, 7))
  return textTable([
    ['true \\ said', ...short],
    ...scores.confusion.map((row, index) => [classes[index], ...row.map((samples) => (samples === 0 ? '.' : String(samples)))]),
  ])
}

/** A detector on a long recording. */
export function streamTable({ scores, settings, validation, minutes, wantedFalseAcceptsPerHour }: StreamEvaluation): string {
  const row = (name: string, length: number, { recall, hits, words, falseAcceptsPerHour, latency }: typeof scores) => [
    name,
    `${length} min`,
    `${percent(recall)} (${hits} of ${words})`,
    falseAcceptsPerHour.toFixed(1),
    latency ? `${latency.median.toFixed(2)} s, ${latency.ninetieth.toFixed(2)} s` : '-',
  ]
  const table = textTable([
    ['recording', 'length', 'words heard', 'false accepts an hour', 'latency, nine of ten'],
    row('validation', validation.minutes, validation.scores),
    row('test', minutes, scores),
  ])
  const { threshold, smoothingSeconds, refractorySeconds } = settings
  const excess = validation.scores.falseAcceptsPerHour > wantedFalseAcceptsPerHour
  return (
    `${table}\n\nthreshold ${threshold.toFixed(4)}, smoothing ${smoothingSeconds} s, refractory time ${refractorySeconds} s (detector.json), ` +
    `set for ${wantedFalseAcceptsPerHour} false accepts an hour${excess ? ', which no threshold reaches' : ''}`
  )
}

/** The members of a joint search's front, to choose from with `train --from RUN --member N`. */
export function frontTable(front: readonly FrontMember[]): string {
  const hasTime = front.some(({ latencyMs }) => latencyMs !== undefined)
  return textTable([
    ['member', 'shared', 'flash', 'RAM', 'MACs', ...(hasTime ? ['latency'] : []), 'weight bits', 'activation bits'],
    ...front.map((member, index) => [
      String(index),
      percent(member.accuracy),
      bytes(member.flashBytes),
      bytes(member.ramBytes),
      count(member.macs),
      ...(hasTime ? [member.latencyMs === undefined ? '' : milliseconds(member.latencyMs)] : []),
      member.weightBits.toFixed(2),
      member.activationBits.toFixed(2),
    ]),
  ])
}

/** Accuracies of a run that adapts another one, and what it cost. */
export function adaptationTable({ splits, network, replay, cost, original }: Adaptation): string {
  const table = textTable([
    ['integer model', 'samples', 'before', 'norms anew', 'adapted'],
    ...splits.flatMap(({ split, old, new: fresh }) =>
      (
        [
          ['new', fresh],
          ['old', old],
        ] as const
      ).flatMap(([part, of]) =>
        of ? [[`${part}, ${split}`, String(of.count), percent(of.before), percent(of.reestimated), percent(of.adapted)]] : [],
      ),
    ),
  ])
  const spent = (seconds: number | undefined, macs: number | undefined) =>
    [...(seconds === undefined ? [] : [duration(seconds)]), ...(macs === undefined ? [] : [`${count(macs)} MACs`])].join(', ')
  const chosen = network === 'kept' ? 'the deployed network' : 'another network than the deployed one'
  const began = spent(original.seconds, original.macs)
  return `${table}\n\n${chosen}, ${percent(replay, 0)} old samples; ${spent(cost.seconds, cost.macs)}${began === '' ? '' : `; the run before: ${began}`}`
}

/** What a run ends with. */
export function resultSummary(result: RunResult): string {
  const parts: string[] = []
  if (result.status === 'unchanged') return `${result.drift!.reason}\nnothing was trained and nothing kept; --force trains all the same\n`
  if (result.adaptation) parts.push(adaptationTable(result.adaptation))
  if (result.evaluations.length > 0) parts.push(accuracyTable(result.evaluations))
  if (result.cost) {
    const { params, macs, flashBytes, ramBytes, latencyMs, energyUj } = result.cost
    const facts = [`${count(params)} params`, `${count(macs)} MACs`, `flash ${bytes(flashBytes)}`, `RAM ${bytes(ramBytes)}`]
    if (latencyMs !== undefined) facts.push(`latency ${milliseconds(latencyMs)}`)
    if (energyUj !== undefined) facts.push(`energy ${energyUj.toPrecision(3)} uJ`)
    if (result.layers?.length) facts.push(`bits ${averageWeightBits(result.layers).toFixed(2)} (weights, average)`)
    parts.push(facts.join('   '))
  }
  if (result.front) parts.push(frontTable(result.front))
  const paths = [
    ...(result.model ? [`model   ${result.model}`] : []),
    ...(result.report ? [`report  ${result.report}`] : []),
    `took    ${duration(result.seconds)}`,
  ]
  return `${[...parts, paths.join('\n')].join('\n\n')}\n`
}

function averageWeightBits(layers: readonly { weightBits: number; params: number }[]): number {
  const params = layers.reduce((sum, layer) => sum + layer.params, 0)
  return layers.reduce((sum, layer) => sum + layer.weightBits * layer.params, 0) / Math.max(1, params)
}
