// What the participants of LiveKit's JavaScript SDKs have in common, in a browser's page (page.mjs)
// and in node (node.mjs): they do what they are told, as peer.py does.

export const RATE = 48_000;

// Half a second: enough for a clear verdict on a pitch.
const WINDOW = RATE / 2;

export const fromHex = (hex) =>
  Uint8Array.from(hex.match(/../g), (byte) => Number.parseInt(byte, 16));
export const toHex = (bytes) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

// The share of the samples' power that lies at a frequency, 0 to 1, and its amplitude.
function tone(samples, hz) {
  const step = (2 * Math.PI * hz) / RATE;
  let [real, imaginary, power] = [0, 0, 0];
  samples.forEach((value, index) => {
    real += value * Math.cos(step * index);
    imaginary += value * Math.sin(step * index);
    power += value * value;
  });
  const square = real * real + imaginary * imaginary;
  return {
    share: power === 0 ? 0 : (2 * square) / (power * samples.length),
    amplitude: (2 * Math.sqrt(square)) / samples.length,
  };
}

// What has come and is not yet taken; waits for what is to come.
class Inbox {
  #items = [];
  #waiting = [];

  put(item) {
    const taker = this.#waiting.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  async take() {
    return this.#items.length > 0
      ? this.#items.shift()
      : new Promise((taker) => this.#waiting.push(taker));
  }
}

// A participant. Who is derived from it knows an SDK: join, frames (from now on, as arrays of
// samples from -1 to 1), send, key, ratchet and leave.
export class Peer {
  packets = new Inbox();
  states = [];
  #subscribed;
  // The other participant's.
  track = new Promise((resolve) => {
    this.#subscribed = resolve;
  });

  // Events have the same names in both SDKs.
  watch(room) {
    room.on('trackSubscribed', (track) => this.#subscribed(track));
    room.on('dataReceived', (data) => this.packets.put(new TextDecoder().decode(data)));
    room.on('encryptionError', (error, participant) =>
      this.states.push(`${participant?.identity} ${error.message}`),
    );
  }

  // Half a second at a time of what is heard, from half a second after now: what the engine still
  // had in its buffers is old.
  async *#listen() {
    let heard = [];
    let isOld = true;
    for await (const samples of this.frames(await this.track)) {
      heard.push(...samples);
      if (heard.length < WINDOW) continue;
      if (!isOld) yield heard;
      isOld = false;
      heard = [];
    }
    throw new Error('the track has ended');
  }

  // Listens until half a second is the tone.
  async hear({ hz }) {
    for await (const heard of this.#listen()) {
      const { share, amplitude } = tone(heard, hz);
      if (share > 0.9) return { amplitude };
    }
  }

  // How much of the loudest of three windows is the tone.
  async share({ hz }) {
    const shares = [];
    for await (const heard of this.#listen()) {
      shares.push(tone(heard, hz).share);
      if (shares.length === 3) return { share: Math.max(...shares) };
    }
  }

  async receive() {
    return { text: await this.packets.take() };
  }

  // What was told of encryption.
  told() {
    return { states: this.states };
  }
}
