// The choice among finalists by itself: who is trained when, and who wins. Whole runs with finalists: graph-run.test.ts, joint-run.test.ts.
import { Random } from '@bitwright/engine'
import { expect, test } from 'vitest'
import { nextOf, trainingsOf } from './finalists.ts'

interface Player {
  readonly accuracies: number[]
  dropped?: string
}

/** Plays to the end, where `accuracyOf` says what a training comes to; undefined: it is given up. */
function play(count: number, accuracyOf: (index: number, round: number) => number | undefined) {
  const players: Player[] = Array.from({ length: count }, () => ({ accuracies: [] }))
  const order: [number, number][] = []
  for (;;) {
    const next = nextOf(players)
    if ('winner' in next) return { winner: next.winner, order, players }
    order.push([next.index, next.round])
    const accuracy = accuracyOf(next.index, next.round)
    if (accuracy === undefined) players[next.index].dropped = 'no number'
    else players[next.index].accuracies.push(accuracy)
  }
}

test('all are trained once, the better half again, until one is left', () => {
  const worth = [0.5, 0.9, 0.6, 0.8, 0.7]
  const { winner, order } = play(5, (index) => worth[index])
  expect(winner).toBe(1)
  expect(order).toEqual([
    [0, 0],
    [1, 0],
    [2, 0],
    [3, 0],
    [4, 0],
    [1, 1],
    [3, 1],
    [4, 1],
    [1, 2],
    [3, 2],
  ])
})

test('the mean of all trainings decides, not the last or the best one', () => {
  const results = [
    [0.9, 0.6],
    [0.8, 0.8],
    [0.7, 0.99],
  ]
  expect(play(3, (index, round) => results[index][round]).winner).toBe(1)
})

test('of equals the first stays', () => {
  expect(play(6, () => 0.5).winner).toBe(0)
})

test('who is given up is out, whatever it had before; of none but such the first is named', () => {
  expect(play(4, (index, round) => (index === 0 && round === 1 ? undefined : 0.9 - 0.1 * index)).winner).toBe(1)
  const { winner, players } = play(3, () => undefined)
  expect(players[winner].dropped).toBe('no number')
})

test('as many trainings as foretold, whatever they come to', () => {
  const random = new Random(5, 'finalists')
  for (let count = 1; count <= 40; count++) {
    const { order, players, winner } = play(count, () => random.uniform(0, 1))
    expect(order).toHaveLength(trainingsOf(count))
    // nobody has been trained more often than who won
    expect(Math.max(...players.map(({ accuracies }) => accuracies.length))).toBe(players[winner].accuracies.length)
  }
  expect(trainingsOf(16)).toBe(16 + 8 + 4 + 2)
  expect(trainingsOf(5)).toBe(5 + 3 + 2)
})
