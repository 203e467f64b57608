// What was said for each true class: a heat map (shade: share of the row) with the recall beside it, one tab per model.
import { html, type Html } from './html.ts'
import { modelKinds, modelLabels, type EvaluationEvent } from './report-data.ts'
import type { ClassifierScores } from '../study/events.ts'
import { percent } from './units.ts'

/** Empty where nothing was evaluated. */
export function confusionSection(evaluation: EvaluationEvent | undefined, classes: readonly string[], things: string): Html {
  const kinds = modelKinds.filter((kind) => evaluation?.[kind])
  if (!evaluation || kinds.length === 0) return html``
  return html`<section class="card" id="confusion">
    <header>
      <h2>What it ${things === 'clips' ? 'hears' : 'sees'}</h2>
      <p>
        Rows are the true classes of the ${evaluation.split} ${things}, columns what the model said; recall is the share of a row that is
        right.
      </p>
    </header>
    <div class="tabs">
      ${kinds.map((kind, index) => html`<input type="radio" name="confusion" id="confusion-${kind}" ${index === 0 && html` checked`} /><label for="confusion-${kind}">${modelLabels[kind]}</label>`)}
      ${kinds.map((kind) => html`<div class="tab scroll">${matrix(evaluation[kind]!, classes, things === 'clips' ? 'heard' : 'seen')}</div>`)}
    </div>
  </section>`
}

function matrix({ confusion, recall }: ClassifierScores, classes: readonly string[], taken: string): Html {
  const name = (index: number) => classes[index] ?? `class ${index}`
  return html`<table class="confusion">
    <thead>
      <tr>
        <th></th>
        ${confusion.map((_, column) => html`<th scope="col"><span>${name(column)}</span></th>`)}
        <th class="recall" scope="col">recall</th>
      </tr>
    </thead>
    <tbody>
      ${confusion.map((row, actual) => {
        const total = row.reduce((sum, clips) => sum + clips, 0)
        return html`<tr>
          <th scope="row">${name(actual)}</th>
          ${row.map((clips, predicted) => {
            const share = total > 0 ? clips / total : 0
            const shade = actual === predicted ? share : Math.min(1, share * 4)
            return html`<td
              class="${actual === predicted ? 'right' : 'wrong'}${share > 0.55 && ' strong'}"
              style="--share:${Math.round(shade * 100)}%"
              data-tip="${`${name(actual)} ${taken} as ${name(predicted)}: ${clips} of ${total}`}"
            >
              ${clips > 0 && clips}
            </td>`
          })}
          <td class="recall">
            <i style="--share:${recall[actual]}"></i><b>${Number.isFinite(recall[actual]) ? percent(recall[actual], 0) : '–'}</b>
          </td>
        </tr>`
      })}
    </tbody>
  </table>`
}
