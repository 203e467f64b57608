// A run that adapts another one to new data: how far the data differs, layer by layer, what the model knows of old and new before and after, and
// what that cost beside the run that it began with.
import type { Adapted } from '../study/events.ts'
import { html, type Html } from './html.ts'
import type { ReportData } from './report-data.ts'
import { count, duration, percent } from './units.ts'

const verdicts = { none: 'No drift', statistics: 'Statistics only', training: 'Needs training' } as const

/** Empty where a run adapts none. */
export function lifelongSection({ drift, adaptation }: ReportData): Html {
  if (!drift) return html``
  return html`<section class="card" id="lifelong">
    <header>
      <h2>Old and new data</h2>
      <p><b>${verdicts[drift.verdict]}</b>: ${drift.reason.replace(/^[^:]*: /, '')}.</p>
    </header>
    ${adaptation && accuracies(adaptation)} ${adaptation && costs(adaptation)}
    ${
      drift.layers.length > 0 &&
      html`<details>
        <summary>How far each layer sees the new data from the old, in standard deviations</summary>
        <div class="scroll">
          <table class="plain">
            <thead>
              <tr>
                <th>layer</th>
                ${['distance', 'shift of the means', 'log ratio of the variances'].map((name) => html`<th class="end">${name}</th>`)}
                <th></th>
              </tr>
            </thead>
            <tbody>
              ${drift.layers.map(
                ({ id, distance, shift, logVarianceRatio }) =>
                  html`<tr>
                    <td><code>${id}</code></td>
                    ${[distance, shift, logVarianceRatio].map((value) => html`<td class="end">${value.toFixed(3)}</td>`)}
                    <td>${distance <= drift.floor && 'within the noise'}</td>
                  </tr>`,
              )}
            </tbody>
          </table>
        </div>
      </details>`
    }
  </section>`
}

function accuracies({ splits, network, replay }: NonNullable<ReportData['adaptation']>): Html {
  const row = (name: string, { before, reestimated, adapted, count: samples }: Adapted) =>
    html`<tr>
      <td>${name}</td>
      <td class="end">${String(samples)}</td>
      ${[before, reestimated].map((value) => html`<td class="end">${percent(value)}</td>`)}
      <td class="end"><b>${percent(adapted)}</b></td>
    </tr>`
  return html`<div class="scroll">
      <table class="plain">
        <thead>
          <tr>
            <th>integer model on</th>
            ${['samples', 'before', 'norms taken anew', 'adapted'].map((name) => html`<th class="end">${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${splits.map(({ split, old, new: fresh }) => [row(`new, ${split}`, fresh), old ? row(`old, ${split}`, old) : html``])}
        </tbody>
      </table>
    </div>
    <p class="note">
      ${network === 'kept' ? 'The network is the one that was deployed' : 'Another network than the one that was deployed'};
      ${percent(replay, 0)} of what it was trained on is old.
    </p>`
}

function costs({ cost, original }: NonNullable<ReportData['adaptation']>): Html {
  const of = (seconds: number | undefined, macs: number | undefined) =>
    [...(seconds === undefined ? [] : [duration(seconds)]), ...(macs === undefined ? [] : [`${count(macs)} MACs`])].join(', ')
  const began = of(original.seconds, original.macs)
  return html`<p class="note">This took ${of(cost.seconds, cost.macs)}${began !== '' && html`; the run that it began with ${began}`}.</p>`
}
