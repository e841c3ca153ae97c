// A participant of LiveKit's SDK for node, on Google's C++ engine.
//
//   node node.mjs NODE_MODULES

import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

import { obey } from './lines.mjs';
import { Peer, RATE, fromHex, toHex } from './peer.mjs';

const [, , packages] = process.argv;
const {
  AudioFrame,
  AudioSource,
  AudioStream,
  LocalAudioTrack,
  Room,
  TrackPublishOptions,
  TrackSource,
  dispose,
} = createRequire(join(resolve(packages), 'any'))('@livekit/rtc-node');

const FRAME = RATE / 100;
const HALF_SCALE = 16_384;
const FULL_SCALE = 32_768;
const QUEUE_MS = 200;

class NodePeer extends Peer {
  room = new Room();
  #playing = true;

  async join({ url, token, key, ratchet_window: ratchetWindowSize, hz }) {
    this.watch(this.room);
    const encryption =
      key === null
        ? undefined
        : { keyProviderOptions: { sharedKey: fromHex(key), ratchetWindowSize } };
    await this.room.connect(url, token, { encryption });
    const source = new AudioSource(RATE, 1, QUEUE_MS);
    const track = LocalAudioTrack.createAudioTrack('tone', source);
    const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE });
    await this.room.localParticipant.publishTrack(track, options);
    this.played = this.#play(source, hz);
  }

  async #play(source, hz) {
    const step = (2 * Math.PI * hz) / RATE;
    for (let start = 0; this.#playing; start += FRAME) {
      const samples = Int16Array.from(
        { length: FRAME },
        (_, index) => HALF_SCALE * Math.sin(step * (start + index)),
      );
      await source.captureFrame(new AudioFrame(samples, RATE, 1, FRAME));
    }
  }

  async *frames(track) {
    for await (const { data } of new AudioStream(track, RATE, 1)) {
      yield Array.from(data, (sample) => sample / FULL_SCALE);
    }
  }

  async send({ text, reliable }) {
    const data = new TextEncoder().encode(text);
    await this.room.localParticipant.publishData(data, { reliable });
  }

  // The SDK has the provider and does not declare it.
  get #keys() {
    return this.room.e2eeManager.keyProvider;
  }

  // Another key for everything from now on, where the index remains the same: the SDK's own request
  // for another index lacks the track, and fails.
  key({ key, index }) {
    this.#keys.setSharedKey(fromHex(key), index);
  }

  ratchet({ index }) {
    return { key: toHex(this.#keys.ratchetSharedKey(index)) };
  }

  async leave() {
    this.#playing = false;
    await this.played;
    await this.room.disconnect();
    await dispose();
  }
}

const peer = new NodePeer();
await obey((method, parameters) => peer[method](parameters));
await peer.leave();
