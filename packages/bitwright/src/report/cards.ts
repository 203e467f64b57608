// The top of the report: the headline accuracy, what became of the run, the cards with sizes, and the clips on which integer and
// fake-quantized models disagree.
import { duration } from './units.ts'
import { html, type Html } from './html.ts'
import {
  averageBits,
  bestEvaluation,
  bestScores,
  modelKinds,
  modelLabels,
  stageLabels,
  type EvaluationEvent,
  type ReportData,
} from './report-data.ts'
import { bytes, count, milliseconds, percent } from './units.ts'

/** The number the run is about, and the accuracies of all models and splits beside it. */
export function heroSection(data: ReportData): Html {
  const evaluation = bestEvaluation(data)
  const best = bestScores(evaluation)
  if (!evaluation || !best) return html``
  const { kind, scores } = best
  return html`<section class="hero card">
    <div class="headline">
      <p class="overline">${evaluation.split} accuracy, ${modelLabels[kind]} model</p>
      <p class="big">${(scores.accuracy * 100).toFixed(1)}<span>%</span></p>
      <p class="sub">
        ± ${(scores.standardError * 100).toFixed(1)} on ${scores.count}
        ${data.things}${kind === 'integer' && evaluation.float && html`; float ${percent(evaluation.float.accuracy)}`}
      </p>
    </div>
    ${accuracyTable(data)}
  </section>`
}

function accuracyTable(data: ReportData): Html {
  const evaluations = (['test', 'validation', 'train'] as const).flatMap((split) => data.evaluations[split] ?? [])
  const kinds = modelKinds.toReversed().filter((kind) => evaluations.some((evaluation) => evaluation[kind]))
  const row = (label: string, evaluation: EvaluationEvent, key: 'accuracy' | 'accuracyWithoutSilence', className: string) =>
    html`<tr class="${className}">
      <th scope="row">${label}</th>
      ${kinds.map((kind) => {
        const value = evaluation[kind]?.[key]
        return html`<td class="${kind === 'integer' && 'ships'}">${value === undefined ? '–' : percent(value)}</td>`
      })}
    </tr>`
  return html`<table class="accuracy">
    <thead>
      <tr>
        <th></th>
        ${kinds.map((kind) => html`<th scope="col">${modelLabels[kind]}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${evaluations.map((evaluation) => [
        row(evaluation.split, evaluation, 'accuracy', ''),
        kinds.some((kind) => evaluation[kind]?.accuracyWithoutSilence !== undefined)
          ? row('without silence', evaluation, 'accuracyWithoutSilence', 'minor')
          : html``,
      ])}
    </tbody>
  </table>`
}

/** Nothing for a finished run. */
export function stateBanner({ state }: ReportData, command: string): Html {
  switch (state.kind) {
    case 'finished':
      return html``
    case 'failed':
      return html`<p class="banner bad"><b>This run failed.</b> ${state.message}</p>`
    case 'interrupted':
      return html`<p class="banner">
        <b>Interrupted</b> in stage ${stageLabels[state.stage]}, ${state.stage === 'finalists' ? 'training' : 'epoch'} ${state.epoch}. The
        same command with <code>--resume</code> goes on:
        <code>${command} --resume</code>
      </p>`
    case 'running':
      return html`<p class="banner">
        <b>Not finished${state.stage !== undefined && html`: in stage ${stageLabels[state.stage]}`}.</b> This page shows what the journal
        held when it was written.
      </p>`
    default:
      return state satisfies never
  }
}

export function costCards(data: ReportData): Html {
  const cost = data.network?.cost
  const bits = averageBits(data)
  const cards = [
    cost && card('Params', count(cost.params), `${bytes(cost.params * 4)} as float32`),
    cost && card('MACs', count(cost.macs), 'of one inference', cost.macs, data.budget.macs, count),
    cost &&
      card(
        'Flash',
        bytes(cost.flashBytes),
        `${((cost.params * 4) / cost.flashBytes).toFixed(1)}× smaller than float32`,
        cost.flashBytes,
        data.budget.flashBytes,
        bytes,
      ),
    cost && card('RAM', bytes(cost.ramBytes), 'peak of the activations', cost.ramBytes, data.budget.ramBytes, bytes),
    data.pruned &&
      card(
        'Pruned',
        `${data.pruned.channels} of ${data.pruned.of}`,
        `channels of expanded blocks, ${bytes(data.pruned.before.flashBytes - data.pruned.after.flashBytes)} less`,
      ),
    cost?.latencyMs !== undefined &&
      card(
        'Latency',
        milliseconds(cost.latencyMs),
        'of a clip or image on the target',
        cost.latencyMs,
        data.budget.latencyMs,
        milliseconds,
      ),
    cost?.energyUj !== undefined && card('Energy', `${cost.energyUj.toPrecision(3)} uJ`, 'of a clip or image on the target'),
    bits && card('Weight bits', bits.weights.toFixed(2), 'on average', bits.weights, 8, () => '8'),
    bits && card('Activation bits', bits.activations.toFixed(2), 'on average', Math.min(8, bits.activations), 8, () => '8'),
    data.state.kind === 'finished' && card('Time', duration(data.state.seconds), stageTimes(data)),
  ]
  const shown = cards.filter((entry) => entry !== undefined && entry !== false)
  return shown.length === 0 ? html`` : html`<section class="cards">${shown}</section>`
}

function card(
  title: string,
  value: string,
  note: string,
  amount?: number,
  limit?: number,
  format: (value: number) => string = String,
): Html {
  const [, figure, unit] = /^([\d.:–-]+)\s*(.*)$/.exec(value) ?? [value, value, '']
  return html`<div class="card stat">
    <h3>${title}</h3>
    <p class="value">${figure}<span>${unit}</span></p>
    ${amount !== undefined && limit !== undefined && html`<div class="meter"><i style="width:${Math.min(100, Math.round((amount / limit) * 100))}%"></i></div>`}
    <p class="note">
      ${amount !== undefined && limit !== undefined && limit !== 8 ? `${percent(amount / limit, 0)} of the ${format(limit)} budget` : note}
    </p>
  </div>`
}

function stageTimes({ stageSeconds }: ReportData): string {
  const longest = stageSeconds.toSorted((a, b) => b.seconds - a.seconds).slice(0, 3)
  return longest.map(({ stage, seconds }) => `${stageLabels[stage]} ${duration(seconds)}`).join(', ')
}

/** Clips on which what ships disagrees with what was trained; nothing where that was not looked at. */
export function differingSection(data: ReportData, classes: readonly string[]): Html {
  const evaluation = bestEvaluation(data)
  const differing = evaluation?.differing
  if (!evaluation || !differing) return html``
  const name = (index: number) => classes[index] ?? `class ${index}`
  const clips = bestScores(evaluation)?.scores.count ?? 0
  return html`<section class="card" id="differing">
    <header>
      <h2>Integer against fake-quantized</h2>
      ${
        differing.length === 0
          ? html`<p><b class="good">The same answer on all ${clips} ${evaluation.split} ${data.things}.</b></p>`
          : html`<p>
              The two disagree on ${differing.length} of ${clips} ${evaluation.split} ${data.things}; the margin is the distance of the two
              logits in the fake-quantized network.
            </p>`
      }
    </header>
    ${
      differing.length > 0 &&
      html`<div class="scroll">
        <table class="plain">
          <thead>
            <tr>
              <th>${data.things.replace(/s$/, '')}</th>
              <th>fake-quantized</th>
              <th>integer</th>
              <th class="end">margin</th>
            </tr>
          </thead>
          <tbody>
            ${differing.map(
              ({ path, fakeQuantized, integer, margin }) =>
                html`<tr>
                  <td><code>${path}</code></td>
                  <td>${name(fakeQuantized)}</td>
                  <td>${name(integer)}</td>
                  <td class="end">${margin.toFixed(4)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`
    }
  </section>`
}

export function dataSection({ data, started, things }: ReportData): Html {
  if (!data && !started) return html``
  return html`<section class="card" id="data">
    <header><h2>Data and settings</h2></header>
    ${
      data &&
      html`<p>
          <code>${data.directory}</code>: ${data.counts.train} training, ${data.counts.validation} validation and ${data.counts.test} test
          ${things}${data.skipped > 0 && html`; ${data.skipped} broken files skipped`}
        </p>
        <p class="chips">${data.classes.map((name) => html`<span>${name}</span>`)}</p>`
    }
    ${
      started &&
      html`<p>
          Bitwright ${started.version}, backend ${started.backend}, ${started.threads} ${started.threads === 1 ? 'thread' : 'threads'}.
        </p>
        <details>
          <summary>Every setting</summary>
          <pre>${JSON.stringify(started.spec, undefined, 2)}</pre>
        </details>`
    }
  </section>`
}
