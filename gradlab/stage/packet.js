// What stage/packet.py encodes: a small head, and one buffer in which arrays lie one after the other.

const ARRAYS = [Float32Array, Int16Array, Uint8Array];

/**
 * Return the arrays of a packet by lane and name; what belongs to no lane has the number -1.
 * @param {{parts: [number, string, number, number][]}} head
 * @param {DataView | ArrayBuffer} buffer
 * @returns {Map<number, Record<string, any>>}
 */
export function unpack(head, buffer) {
  const bytes = buffer instanceof ArrayBuffer ? buffer : /** @type {ArrayBuffer} */ (buffer.buffer);
  let place = buffer instanceof ArrayBuffer ? 0 : buffer.byteOffset;
  const start = place;
  // a view that begins at an odd place cannot hold 4-byte numbers: then the bytes are copied
  const own = place % 4 ? bytes.slice(place, place + (/** @type {DataView} */ (buffer)).byteLength) : bytes;
  if (own !== bytes) place = 0;
  /** @type {Map<number, Record<string, any>>} */
  const lanes = new Map();
  for (const [lane, name, kind, count] of head.parts) {
    const Kind = ARRAYS[kind];
    if (!lanes.has(lane)) lanes.set(lane, {});
    (/** @type {Record<string, any>} */ (lanes.get(lane)))[name] = new Kind(own, place, count);
    place += count * Kind.BYTES_PER_ELEMENT;
  }
  if (place - (own === bytes ? start : 0) > own.byteLength) throw new RangeError("packet shorter than its table");
  return lanes;
}
