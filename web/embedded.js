// Binary data in the page, and drawing on canvases.

/** The bytes of an element whose text is gzipped data in base64, as `html::embedded` writes it. */
async function embedded(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), c => c.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** An embedded JSON value. */
async function embeddedJson(id) { return JSON.parse(new TextDecoder().decode(await embedded(id))); }

/** The colors of the class `sequential` in the style sheet. */
const SEQUENTIAL = ["440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"]
  .map(hex => [0, 2, 4].map(at => parseInt(hex.slice(at, at + 2), 16)));

/** Red, green and blue, from 0 to 255, for a value from 0 to 1: bright is strong. */
function sequential(value) {
  const at = Math.min(Math.max(value, 0), 1) * (SEQUENTIAL.length - 1), low = Math.min(Math.floor(at), SEQUENTIAL.length - 2);
  return SEQUENTIAL[low].map((from, i) => Math.round(from + (SEQUENTIAL[low + 1][i] - from) * (at - low)));
}

/** Draws `height` x `width` pixels; `color(index)` returns red, green and blue from 0 to 255. */
function drawPixels(context, x, y, height, width, color) {
  const image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) image.data.set([...color(i), 255], 4 * i);
  context.putImageData(image, x, y);
}
