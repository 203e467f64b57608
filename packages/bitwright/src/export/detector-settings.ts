// Reads detector.json: the detector's settings that a run keeps beside its model, with whatever else is noted there.
import { checkDetectorSettings, defaultDetectorSettings, type DetectorSettings } from '@bitwright/runtime'
import { RunError } from '../errors.ts'

/** Settings not in the file are the default ones. @throws RunError naming the file and the setting that cannot be */
export function parseDetectorSettings(text: string, path: string): DetectorSettings {
  try {
    const given = JSON.parse(text) as Partial<DetectorSettings>
    const { smoothingSeconds, threshold, refractorySeconds, ignoredClasses } = { ...defaultDetectorSettings, ...given }
    return checkDetectorSettings({ smoothingSeconds, threshold, refractorySeconds, ignoredClasses })
  } catch (error) {
    throw new RunError(`${path}: ${(error as Error).message}; correct it, or delete it for the default settings`)
  }
}
