// Runs the encryption worker of LiveKit's JavaScript SDK (npm package livekit-client) outside of a
// browser, on frames instead of streams from a peer connection.
//
//   node crates/testbed/interop/worker.mjs .cache/node/node_modules/livekit-client \
//       > crates/libwebrtc/src/e2ee/vectors.json
//
// prints encrypted frames and packets, the keys, and what is in them; `./dev interop` installs the
// package. Bytes are hexadecimal. IVs are random, so no two runs print the same.

import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , packageDirectory] = process.argv;

// What the worker expects of its surroundings.
const waiting = [];
globalThis.self = globalThis;
globalThis.onmessage = null;
globalThis.RTCEncodedAudioFrame = class {};
globalThis.RTCEncodedVideoFrame = class {};
globalThis.postMessage = (message) => {
  const found = waiting.findIndex(({ wanted }) => wanted(message));
  if (found >= 0) waiting.splice(found, 1)[0].done(message);
};
await import(
  pathToFileURL(join(resolve(packageDirectory), 'dist/livekit-client.e2ee.worker.mjs'))
);

function post(kind, data) {
  globalThis.onmessage({ data: { kind, data } });
}

function ask(kind, data, wanted) {
  return new Promise((done) => {
    waiting.push({ wanted, done });
    post(kind, data);
  });
}

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const bytes = (text) => new Uint8Array(Buffer.from(text, 'hex'));

// As ExternalE2EEKeyProvider does: PBKDF2 from a password, HKDF from raw bytes.
const importKey = (algorithm, secret) =>
  crypto.subtle.importKey('raw', bytes(secret), algorithm, false, ['deriveBits', 'deriveKey']);

async function init(salt) {
  const keyProviderOptions = {
    sharedKey: false,
    ratchetSalt: salt,
    ratchetWindowSize: 0,
    failureTolerance: -1,
    keyringSize: 16,
    keySize: 128,
  };
  const data = { keyProviderOptions, loglevel: 'error' };
  await ask('init', data, ({ kind }) => kind === 'initAck');
}

async function setKey(participant, algorithm, secret, keyIndex) {
  post('setKey', {
    participantIdentity: participant,
    isPublisher: true,
    key: await importKey(algorithm, secret),
    keyIndex,
    updateCurrentKeyIndex: true,
  });
  await ask(
    'enable',
    { enabled: true, participantIdentity: participant },
    ({ kind }) => kind === 'enable',
  );
}

// Puts frames through the encoder of a track, one at a time.
function encoder(participant) {
  const { readable, writable } = new TransformStream();
  const results = [];
  let woken = () => {};
  const sink = new WritableStream({
    write(frame) {
      results.push(hex(frame.data));
      woken();
    },
  });
  post('encode', {
    participantIdentity: participant,
    readableStream: readable,
    writableStream: sink,
    trackId: `track-${participant}`,
    hasPacketTrailer: false,
  });
  const writer = writable.getWriter();
  return async ({ data, ssrc, timestamp }) => {
    const next = new Promise((done) => {
      woken = () => done(results.pop());
    });
    await writer.write({
      data: bytes(data).buffer,
      timestamp,
      getMetadata: () => ({ synchronizationSource: ssrc }),
    });
    return next;
  };
}

let packets = 0;
async function encryptPacket(participant, payload) {
  const uuid = `packet-${(packets += 1)}`;
  const { data } = await ask(
    'encryptDataRequest',
    { uuid, payload: bytes(payload), participantIdentity: participant },
    ({ kind, data }) => kind === 'encryptDataResponse' && data.uuid === uuid,
  );
  return { data: hex(data.payload), iv: hex(data.iv), key_index: data.keyIndex };
}

const SALT = 'LKFrameEncryptionKey';

// Opus-like frames: one of a usual length, one of a single byte (silence), a long one.
const FRAMES = [
  { data: hex(Uint8Array.from({ length: 60 }, (_, i) => (i * 37 + 120) & 255)), ssrc: 0x01020304, timestamp: 960 },
  { data: '78', ssrc: 0xfffffffe, timestamp: 0xffffff00 },
  { data: hex(Uint8Array.from({ length: 300 }, (_, i) => (i * 7) & 255)), ssrc: 7, timestamp: 0 },
];

const PACKETS = ['', '00', hex(new TextEncoder().encode('a packet'))];

async function make() {
  await init(SALT);
  const keys = [
    { algorithm: 'PBKDF2', secret: hex(new TextEncoder().encode('password')), key_index: 0, ratchets: 0 },
    { algorithm: 'PBKDF2', secret: hex(new TextEncoder().encode('a longer password, of üñíçødé')), key_index: 5, ratchets: 0 },
    { algorithm: 'PBKDF2', secret: hex(new TextEncoder().encode('password')), key_index: 0, ratchets: 2 },
    { algorithm: 'HKDF', secret: hex(Uint8Array.from({ length: 32 }, (_, i) => i)), key_index: 15, ratchets: 0 },
    { algorithm: 'HKDF', secret: hex(Uint8Array.from({ length: 32 }, (_, i) => i)), key_index: 3, ratchets: 3 },
  ];
  const vectors = [];
  for (const [number, key] of keys.entries()) {
    const participant = `participant-${number}`;
    await setKey(participant, key.algorithm, key.secret, key.key_index);
    for (let step = 0; step < key.ratchets; step += 1) {
      await ask(
        'ratchetRequest',
        { participantIdentity: participant, keyIndex: key.key_index },
        ({ kind }) => kind === 'ratchetKey',
      );
    }
    const seal = encoder(participant);
    const frames = [];
    for (const frame of FRAMES) {
      frames.push({ ...frame, sealed: await seal(frame) });
    }
    const sealedPackets = [];
    for (const clear of PACKETS) {
      sealedPackets.push({ clear, sealed: await encryptPacket(participant, clear) });
    }
    vectors.push({ salt: SALT, ...key, frames, packets: sealedPackets });
  }
  console.log(JSON.stringify(vectors, null, 1));
}

await make();
process.exit(0);
