// The members of a joint search's front: what there is to choose from, and how one of them is trained.
import { html, type Html } from './html.ts'
import type { ReportData } from './report-data.ts'
import { bytes, count, percent } from './units.ts'

/** Empty where no joint search got to its front. */
export function membersSection({ front, started }: ReportData): Html {
  if (!front) return html``
  const { members, chosen } = front
  const hasTime = members.some(({ latencyMs }) => latencyMs !== undefined)
  const out = typeof started?.spec.out === 'string' ? started.spec.out : 'RUN'
  return html`<section class="card" id="members">
    <header>
      <h2>The front</h2>
      <p>
        ${members.length} ${members.length === 1 ? 'network' : 'networks'}, all within the budget: no other one scored is at least as
        accurate, as small and as fast at once. Accuracy is with shared weights, before any training of its own.
      </p>
    </header>
    <div class="scroll">
      <table class="plain">
        <thead>
          <tr>
            <th>member</th>
            ${['accuracy', 'flash', 'RAM', 'MACs', ...(hasTime ? ['latency'] : []), 'weight bits', 'activation bits'].map((name) => html`<th class="end">${name}</th>`)}
            <th></th>
          </tr>
        </thead>
        <tbody>
          ${members.map(
            (member, index) =>
              html`<tr>
                <td>${index}</td>
                <td class="end">${percent(member.accuracy)}</td>
                <td class="end">${bytes(member.flashBytes)}</td>
                <td class="end">${bytes(member.ramBytes)}</td>
                <td class="end">${count(member.macs)}</td>
                ${hasTime && html`<td class="end">${member.latencyMs === undefined ? '' : `${member.latencyMs.toPrecision(3)} ms`}</td>`}
                <td class="end">${member.weightBits.toFixed(2)}</td>
                <td class="end">${member.activationBits.toFixed(2)}</td>
                <td>${index === chosen && html`<b class="good">trained</b>`}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p class="note">
      Another member: <code>bitwright train --from ${out} --member N --data DIR --out OTHER</code>, or a budget (<code>--flash 32k</code>)
      in place of <code>--member</code>.
    </p>
  </section>`
}
