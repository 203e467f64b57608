// The best of a search that were trained alone, how each did, and which of them was chosen.
import { html, type Html } from './html.ts'
import type { ReportData } from './report-data.ts'
import { bytes, count, percent } from './units.ts'

/** Empty where none was trained alone before the choice. */
export function finalistsSection({ candidates, things }: ReportData): Html {
  const finalists = candidates.filter(({ accuracies }) => accuracies !== undefined)
  if (finalists.length === 0) return html``
  const ranked = finalists.toSorted(
    (a, b) => Number(b.chosen ?? false) - Number(a.chosen ?? false) || b.accuracies!.length - a.accuracies!.length || b.score! - a.score!,
  )
  return html`<section class="card" id="finalists">
    <header>
      <h2>Finalists</h2>
      <p>
        ${finalists.length} networks trained alone, the better half of them once more with another seed, and so on. What counts is the mean
        of a network's accuracies on the validation ${things}.
      </p>
    </header>
    <div class="scroll">
      <table class="plain">
        <thead>
          <tr>
            <th>candidate</th>
            ${['mean', 'trainings', 'shared weights', 'flash', 'MACs'].map((name) => html`<th class="end">${name}</th>`)}
            <th></th>
          </tr>
        </thead>
        <tbody>
          ${ranked.map(
            ({ id, score, accuracies, sharedScore, cost, chosen, dropped }) =>
              html`<tr>
                <td>${id}</td>
                <td class="end">${dropped === undefined && percent(score!)}</td>
                <td class="end">${accuracies!.map((accuracy) => percent(accuracy)).join(', ')}</td>
                <td class="end">${sharedScore !== undefined && percent(sharedScore)}</td>
                <td class="end">${bytes(cost.flashBytes)}</td>
                <td class="end">${count(cost.macs)}</td>
                <td>${chosen && html`<b class="good">chosen</b>`}${dropped !== undefined && `given up: ${dropped}`}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`
}
