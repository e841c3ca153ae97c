// A participant of LiveKit's JavaScript SDK, in a browser's page; browser.mjs opens it.

import {
  ExternalE2EEKeyProvider,
  Room,
  Track,
  createKeyMaterialFromString,
  setLogLevel,
} from '/livekit-client.esm.mjs';

import { Peer, RATE, fromHex } from '/peer.mjs';

// Chromium's have 10 ms: a page that is held up for half a second misses none.
const FRAMES_KEPT = 50;

const text = (hex) => new TextDecoder().decode(fromHex(hex));

// The SDK's provider of one key for everybody sets it at index 0 only.
class Keys extends ExternalE2EEKeyProvider {
  async setKeyAt(key, index) {
    this.onSetEncryptionKey(await createKeyMaterialFromString(key), undefined, index);
  }
}

class PagePeer extends Peer {
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
    this.watch(this.room);
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

  async *frames(track) {
    // Chromium decodes only what is played.
    track.attach();
    const { readable } = new MediaStreamTrackProcessor({
      track: track.mediaStreamTrack,
      maxBufferSize: FRAMES_KEPT,
    });
    for await (const frame of readable) {
      if (frame.sampleRate !== RATE) throw new Error(`a track of ${frame.sampleRate} Hz`);
      const samples = new Float32Array(frame.numberOfFrames);
      frame.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
      frame.close();
      yield samples;
    }
  }

  async send({ text, reliable }) {
    const data = new TextEncoder().encode(text);
    await this.room.localParticipant.publishData(data, { reliable });
  }

  // Another key for everything from now on.
  async key({ key, index }) {
    await this.keys.setKeyAt(text(key), index);
  }

  // The SDK does not tell what a shared key has become.
  ratchet({ index }) {
    this.keys.ratchetKey(undefined, index);
  }

  async leave() {
    await this.room?.disconnect();
  }
}

globalThis.peer = new PagePeer();
