// Who speaks in a synthesised set: every voice is an accent, a throat, a pitch and a pace of espeak-ng, drawn from the seed.

import { Random } from '@bitwright/engine'

export interface Voice {
  /** Eight hexadecimal digits, unique in the set; the part of a file name before `_nohash_`. */
  readonly id: string
  /** What espeak-ng calls it: accent+variant. */
  readonly name: string
  /** 0 to 99. */
  readonly pitch: number
  /** Words per minute. */
  readonly pace: number
}

const accents = ['en-us', 'en-gb', 'en-gb-scotland', 'en-gb-x-gbclan', 'en-gb-x-gbcwmd', 'en-gb-x-rp', 'en-us-nyc', 'en-029']

/** The variants that sound like people; left out are robots, whispers, and those that need the Klatt synthesiser. */
const variants = (
  'Alex Alicia Andrea Andy Annie Denis Diogo Gene Jacky Lee Mario Michael Mike Nguyen anika antonio aunty belinda boris f1 f2 f3 f4 f5 ' +
  'grandma grandpa gustave ian iven iven3 john linda m1 m2 m3 m4 m5 m6 m7 m8 marcelo max michel miguel norbert paul pedro quincy rob ' +
  'robert sandro shelby steph travis victor zac'
).split(' ')

/** Draws `count` voices. A longer list begins with the shorter one of the same seed. */
export function drawVoices(count: number, seed: number): Voice[] {
  const ids = new Set<string>()
  return Array.from({ length: count }, (_, number) => {
    const random = new Random(seed, 'voice', number)
    let id = ''
    do id = random.uint32().toString(16).padStart(8, '0')
    while (ids.has(id))
    ids.add(id)
    const name = `${accents[random.integer(accents.length)]}+${variants[random.integer(variants.length)]}`
    return { id, name, pitch: 25 + random.integer(51), pace: 120 + random.integer(71) }
  })
}

/** The manner in which a voice speaks its n-th take: a little higher or lower, faster or slower. */
export function drawTake(voice: Voice, take: number, seed: number): { pitch: number; pace: number } {
  const random = new Random(seed, 'take', voice.id, take)
  return { pitch: voice.pitch - 12 + random.integer(25), pace: Math.round(voice.pace * random.uniform(0.88, 1.14)) }
}
