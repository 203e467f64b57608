// The two kinds of samples: which files hold them, and how messages speak of them.

export interface Media {
  readonly kind: 'audio' | 'image'
  readonly extensions: readonly string[]
  /** Files of the kind that are not read. */
  readonly otherExtensions: readonly string[]
  readonly thing: string
  readonly things: string
  readonly files: string
  /** What a label folder is named after. */
  readonly label: string
  readonly convert: (extension: string) => string
}

export const audioMedia: Media = {
  kind: 'audio',
  extensions: ['.wav'],
  otherExtensions: ['.flac', '.mp3', '.ogg', '.opus', '.m4a', '.aac', '.aif', '.aiff', '.webm'],
  thing: 'clip',
  things: 'clips',
  files: 'WAV files',
  label: 'word',
  convert: (extension) => `ffmpeg -i in${extension} out.wav`,
}

export const imageMedia: Media = {
  kind: 'image',
  extensions: ['.png', '.jpg', '.jpeg'],
  otherExtensions: ['.gif', '.bmp', '.tif', '.tiff', '.webp', '.avif', '.heic', '.ppm', '.pgm'],
  thing: 'image',
  things: 'images',
  files: 'PNG or JPEG files',
  label: 'class',
  convert: (extension) => `magick in${extension} out.png`,
}
