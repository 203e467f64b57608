// The thread that hears: it holds the model and runs it on what the audio thread sends.
import { serveWorker } from './runtime.js'

serveWorker(self)
