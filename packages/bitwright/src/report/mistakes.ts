// The images that the model is most wrong about, as it saw them.
import { html, type Html } from './html.ts'
import type { EvaluationEvent } from './report-data.ts'

/** A picture as the journal has it and nothing else: the page shows what comes from outside. */
const picture = /^data:image\/bmp;base64,[\d+/A-Za-z]+={0,2}$/

/** Empty for sounds, and where every answer was right. */
export function mistakesSection(evaluation: EvaluationEvent | undefined, classes: readonly string[]): Html {
  const mistakes = evaluation?.mistakes?.filter((mistake) => picture.test(mistake.picture)) ?? []
  if (!evaluation || mistakes.length === 0) return html``
  const name = (index: number) => classes[index] ?? `class ${index}`
  return html`<section class="card" id="mistakes">
    <header>
      <h2>What it mistakes</h2>
      <p>The ${evaluation.split} images that the integer model is most wrong about: what it sees, and what it is.</p>
    </header>
    <div class="mistakes">
      ${mistakes.map(
        ({ path, label, answer, picture: source }) =>
          html`<figure title="${path}">
            <img src="${source}" alt="${name(label)}" />
            <figcaption><b>${name(answer)}</b><span>${name(label)}</span></figcaption>
          </figure>`,
      )}
    </div>
  </section>`
}
