// A participant of LiveKit's JavaScript SDK, in a page of a browser: what peer.py is in Python.
// browser.mjs has it do what it is told.

import {
  ExternalE2EEKeyProvider,
  Room,
  RoomEvent,
  Track,
  createKeyMaterialFromString,
  setLogLevel,
} from '/livekit-client.esm.mjs';

const RATE = 48_000;
// Half a second: enough for a clear verdict on a pitch.
const WINDOW = RATE / 2;
// Chrome's frames have 10 ms; a page that is held up for half a second misses none.
const FRAMES_KEPT = 50;

const text = (hex) =>
  new TextDecoder().decode(Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16)));

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

// The SDK's provider of one key for everybody sets it at index 0 only.
class Keys extends ExternalE2EEKeyProvider {
  async setKeyAt(key, index) {
    this.onSetEncryptionKey(await createKeyMaterialFromString(key), undefined, index);
  }
}

// What has come and is not yet taken; waits for what is to come.
class Inbox {
  items = [];
  waiting = [];

  put(item) {
    const taker = this.waiting.shift();
    if (taker) taker(item);
    else this.items.push(item);
  }

  async take() {
    return this.items.length > 0
      ? this.items.shift()
      : new Promise((taker) => this.waiting.push(taker));
  }
}

// Half a second at a time of what a track sounds like, from half a second after now: what the
// engine still had in its buffers is old.
async function* listen(track) {
  const { readable } = new MediaStreamTrackProcessor({ track, maxBufferSize: FRAMES_KEPT });
  let heard = [];
  let isOld = true;
  for await (const frame of readable) {
    if (frame.sampleRate !== RATE) throw new Error(`a track of ${frame.sampleRate} Hz`);
    const samples = new Float32Array(frame.numberOfFrames);
    frame.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
    frame.close();
    heard.push(...samples);
    if (heard.length < WINDOW) continue;
    if (!isOld) yield heard;
    isOld = false;
    heard = [];
  }
  throw new Error('the track has ended');
}

export class Peer {
  packets = new Inbox();
  states = [];

  // The provider of keys has a window for ratchets of its own: none.
  async join({ url, token, key, hz }) {
    setLogLevel('error');
    let encryption;
    if (key !== null) {
      this.keys = new Keys();
      await this.keys.setKey(text(key));
      const worker = new Worker('/livekit-client.e2ee.worker.mjs', { type: 'module' });
      encryption = { keyProvider: this.keys, worker };
    }
    this.room = new Room({ encryption });
    this.track = new Promise((resolve) => {
      this.room.on(RoomEvent.TrackSubscribed, (track) => {
        // Chrome decodes only what is played.
        track.attach();
        resolve(track.mediaStreamTrack);
      });
    });
    this.room.on(RoomEvent.DataReceived, (data) =>
      this.packets.put(new TextDecoder().decode(data)),
    );
    this.room.on(RoomEvent.EncryptionError, (error, participant) =>
      this.states.push(`${participant?.identity} ${error.message}`),
    );
    if (encryption) await this.room.setE2EEEnabled(true);
    await this.room.connect(url, token);

    const context = new AudioContext({ sampleRate: RATE });
    const oscillator = new OscillatorNode(context, { frequency: hz });
    const half = new GainNode(context, { gain: 0.5 });
    const out = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    oscillator.connect(half).connect(out);
    oscillator.start();
    const [track] = out.stream.getAudioTracks();
    const options = { name: 'tone', source: Track.Source.Microphone };
    await this.room.localParticipant.publishTrack(track, options);
  }

  // Listens until half a second is the tone.
  async hear({ hz }) {
    for await (const heard of listen(await this.track)) {
      const { share, amplitude } = tone(heard, hz);
      if (share > 0.9) return { amplitude };
    }
  }

  // How much of the loudest of three windows is the tone.
  async share({ hz }) {
    const shares = [];
    for await (const heard of listen(await this.track)) {
      shares.push(tone(heard, hz).share);
      if (shares.length === 3) return { share: Math.max(...shares) };
    }
  }

  async send({ text, reliable }) {
    const data = new TextEncoder().encode(text);
    await this.room.localParticipant.publishData(data, { reliable });
  }

  async receive() {
    return { text: await this.packets.take() };
  }

  // Another key for everything from now on.
  async key({ key, index }) {
    await this.keys.setKeyAt(text(key), index);
  }

  // The SDK does not tell what a shared key has become.
  ratchet({ index }) {
    this.keys.ratchetKey(undefined, index);
  }

  // What was told of encryption.
  told() {
    return { states: this.states };
  }

  async leave() {
    await this.room?.disconnect();
  }
}
