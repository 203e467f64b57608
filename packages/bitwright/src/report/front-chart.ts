// Accuracy against cost of every candidate, one chart per cost, with the Pareto front (no other is at least as good in both) drawn
// for each way of scoring: a network with shared weights and one trained alone are not comparable.
import type { BudgetSpec } from '../study/api.ts'
import { html, type Html } from './html.ts'
import type { CandidateEvent } from './report-data.ts'
import { linearScale, paddedDomain, ticks } from './scale.ts'
import { bytes, count, percent } from './units.ts'

interface CostAxis {
  readonly key: 'macs' | 'params' | 'flashBytes'
  readonly label: string
  readonly name: string
  format(value: number): string
  limit(budget: BudgetSpec): number | undefined
}

const axes: readonly CostAxis[] = [
  { key: 'macs', label: 'MACs', name: 'multiply-accumulates of one inference', format: count, limit: (budget) => budget.macs },
  { key: 'params', label: 'Params', name: 'parameters', format: count, limit: () => undefined },
  { key: 'flashBytes', label: 'Flash', name: 'flash: size of the model file', format: bytes, limit: (budget) => budget.flashBytes },
]

type Scored = CandidateEvent & { readonly score: number }

/** A tab per cost. Empty where no candidate has a score. `things`: clips, images or nodes. */
export function frontSection(candidates: readonly CandidateEvent[], budget: BudgetSpec, things: string): Html {
  const scored = candidates.filter((candidate): candidate is Scored => candidate.score !== undefined && Number.isFinite(candidate.score))
  if (scored.length === 0) return html``
  const dropped = candidates.filter((candidate) => candidate.dropped !== undefined)
  const kinds = new Set(scored.map(({ scoreKind }) => scoreKind ?? 'trained'))
  return html`<section class="card" id="front">
    <header>
      <h2>Accuracy against cost</h2>
      <p>
        ${scored.length} ${scored.length === 1 ? 'candidate' : 'candidates'} scored on the validation
        ${things}${dropped.length > 0 && `, ${dropped.length} refused before training (over the budget)`}. The line is the front: nothing
        found is both cheaper and better.
      </p>
    </header>
    <div class="tabs">
      ${axes.map((axis, index) => html`<input type="radio" name="front" id="front-${axis.key}" ${index === 0 && html` checked`} /><label for="front-${axis.key}">${axis.label}</label>`)}
      ${axes.map(
        (axis) =>
          html`<div class="tab">
            <div class="wide">${chart(axis, scored, dropped, budget, 1040, 420)}</div>
            <div class="narrow">${chart(axis, scored, dropped, budget, 400, 320)}</div>
          </div>`,
      )}
    </div>
    <p class="legend">
      ${kinds.has('shared') && html`<span><i class="ring"></i>scored with shared weights (early is pale, late is dark)</span>`}
      ${kinds.has('trained') && html`<span><i class="full"></i>trained alone</span>`}
      ${scored.some(({ chosen }) => chosen) && html`<span><i class="chosen"></i>chosen</span>`}
      ${dropped.length > 0 && html`<span><i class="cross">×</i>refused</span>`}
    </p>
  </section>`
}

function chart(
  axis: CostAxis,
  scored: readonly Scored[],
  dropped: readonly CandidateEvent[],
  budget: BudgetSpec,
  width: number,
  height: number,
): Html {
  const left = 54
  const right = width - 22
  const top = 22
  const bottom = height - 46
  const limit = axis.limit(budget)
  const costs = [...scored, ...dropped].map(({ cost }) => cost[axis.key])
  const xDomain = paddedDomain(limit === undefined ? costs : [...costs, limit], 0.06, 0)
  const yDomain = paddedDomain(
    scored.map(({ score }) => score),
    0.09,
    0,
    1,
  )
  const x = linearScale(xDomain, [left, right])
  const y = linearScale(yDomain, [bottom, top])
  const marker = (candidate: Scored) => ({ cx: x(candidate.cost[axis.key]), cy: y(candidate.score) })
  const chosen = scored.findLast((candidate) => candidate.chosen)
  return html`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="accuracy against ${axis.label}">
    ${ticks(yDomain, 5).map(
      (tick) =>
        html`<line class="grid" x1="${left}" x2="${right}" y1="${y(tick)}" y2="${y(tick)}" />
          <text class="tick end" x="${left - 8}" y="${y(tick) + 4}">${percent(tick, yDomain[1] - yDomain[0] < 0.05 ? 1 : 0)}</text>`,
    )}
    ${ticks(xDomain, width > 600 ? 8 : 4).map(
      (tick) =>
        html`<line class="grid faint" x1="${x(tick)}" x2="${x(tick)}" y1="${top}" y2="${bottom}" />
          <text class="tick middle" x="${x(tick)}" y="${bottom + 19}">${axis.format(tick)}</text>`,
    )}
    <line class="axis" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}" />
    <text class="axis-name end" x="${right}" y="${height - 6}">${axis.name}</text>
    ${
      limit !== undefined &&
      html`<rect class="beyond" x="${x(limit)}" y="${top}" width="${right - x(limit)}" height="${bottom - top}" />
        <line class="limit" x1="${x(limit)}" x2="${x(limit)}" y1="${top - 6}" y2="${bottom}" />
        <text class="limit-name end" x="${x(limit) - 6}" y="${bottom - 12}">budget ${axis.format(limit)}</text>`
    }
    ${(['shared', 'trained'] as const).map((kind) => {
      const front = paretoFront(
        scored.filter((candidate) => (candidate.scoreKind ?? 'trained') === kind),
        axis.key,
      )
      if (front.length < 2) return html``
      const steps = front.map((candidate, index) => {
        const { cx, cy } = marker(candidate)
        return index === 0 ? `M${cx.toFixed(1)},${cy.toFixed(1)}` : `H${cx.toFixed(1)}V${cy.toFixed(1)}`
      })
      return html`<path class="front ${kind}" d="${steps.join('')}" />`
    })}
    ${dropped.map(({ cost, id, dropped: reason }) => html`<text class="refused" x="${x(cost[axis.key])}" y="${bottom - 4}" data-tip="candidate ${id}: ${reason}">×</text>`)}
    ${scored.map((candidate, index) => {
      const { cx, cy } = marker(candidate)
      const age = Math.round((100 * index) / Math.max(1, scored.length - 1))
      const { cost, id, origin, score, scoreKind } = candidate
      const tip = `candidate ${id} (${origin})\n${percent(score)} ${scoreKind === 'shared' ? 'with shared weights' : 'trained'}\n${count(cost.macs)} MACs, ${count(cost.params)} params\nflash ${bytes(cost.flashBytes)}, RAM ${bytes(cost.ramBytes)}`
      return html`<circle
        class="point ${scoreKind === 'shared' ? 'shared' : 'trained'}"
        style="--age:${age}%"
        cx="${cx}"
        cy="${cy}"
        r="5"
        data-tip="${tip}"
      />`
    })}
    ${chosen && chosenMark(marker(chosen), `${percent(chosen.score)} · ${axis.format(chosen.cost[axis.key])}`, right)}
  </svg>`
}

function chosenMark({ cx, cy }: { cx: number; cy: number }, label: string, right: number): Html {
  const toTheLeft = cx > right * 0.6
  return html`<g class="chosen-mark"
    ><circle cx="${cx}" cy="${cy}" r="10" />
    <text class="${toTheLeft ? 'end' : ''}" x="${cx + (toTheLeft ? -16 : 16)}" y="${cy - 12}">${label}</text></g
  >`
}

/** Candidates that no other one matches in both cost and score, by rising cost. */
export function paretoFront(candidates: readonly Scored[], key: CostAxis['key']): Scored[] {
  const front: Scored[] = []
  for (const candidate of candidates.toSorted((a, b) => a.cost[key] - b.cost[key] || b.score - a.score)) {
    if (front.length === 0 || candidate.score > front.at(-1)!.score) front.push(candidate)
  }
  return front
}
