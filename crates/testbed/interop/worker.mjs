// Runs the encryption worker of LiveKit's JavaScript SDK (npm package livekit-client) outside of a
// browser, on frames instead of streams from a peer connection.
//
//   node worker.mjs PACKAGE make          prints encrypted frames and packets, and what is in them
//   node worker.mjs PACKAGE read < JSON   reads the same shape, prints how many it could read
//
// PACKAGE is the directory of the unpacked package. Bytes are hexadecimal.
//
// `make` wrote crates/libwebrtc/src/e2ee/vectors.json, with livekit-client 2.23.0.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , packageDirectory, command] = process.argv;

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

async function init({ salt, window }) {
  const keyProviderOptions = {
    sharedKey: false,
    ratchetSalt: salt,
    ratchetWindowSize: window,
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

// Puts frames through an encoder or a decoder of a track, one at a time.
function transform(kind, participant) {
  const { readable, writable } = new TransformStream();
  const results = [];
  let woken = () => {};
  const sink = new WritableStream({
    write(frame) {
      results.push(hex(frame.data));
      woken();
    },
  });
  post(kind, {
    participantIdentity: participant,
    readableStream: readable,
    writableStream: sink,
    trackId: `${kind}-${participant}`,
    hasPacketTrailer: false,
  });
  const writer = writable.getWriter();
  return async ({ data, ssrc, timestamp }) => {
    const next = new Promise((done) => {
      woken = () => done(results.pop());
      // What cannot be read is dropped without a word.
      setTimeout(() => done(null), 2000).unref();
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

async function decryptPacket(participant, { data, iv, key_index: keyIndex }) {
  const uuid = `packet-${(packets += 1)}`;
  const answer = await ask(
    'decryptDataRequest',
    { uuid, payload: bytes(data), iv: bytes(iv), participantIdentity: participant, keyIndex },
    ({ data }) => data?.uuid === uuid,
  );
  return answer.kind === 'decryptDataResponse' ? hex(answer.data.payload) : null;
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
  await init({ salt: SALT, window: 0 });
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
    const seal = transform('encode', participant);
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

async function read() {
  const vectors = JSON.parse(readFileSync(0, 'utf8'));
  await init({ salt: vectors[0].salt, window: 8 });
  const counts = { frames: 0, frames_read: 0, packets: 0, packets_read: 0 };
  for (const [number, vector] of vectors.entries()) {
    const participant = `participant-${number}`;
    await setKey(participant, vector.algorithm, vector.secret, vector.key_index);
    for (let step = 0; step < vector.ratchets; step += 1) {
      await ask(
        'ratchetRequest',
        { participantIdentity: participant, keyIndex: vector.key_index },
        ({ kind }) => kind === 'ratchetKey',
      );
    }
    const open = transform('decode', participant);
    for (const { data, sealed, ssrc, timestamp } of vector.frames) {
      counts.frames += 1;
      counts.frames_read += (await open({ data: sealed, ssrc, timestamp })) === data;
    }
    for (const { clear, sealed } of vector.packets) {
      counts.packets += 1;
      counts.packets_read += (await decryptPacket(participant, sealed)) === clear;
    }
  }
  console.log(JSON.stringify(counts));
}

await (command === 'make' ? make() : read());
process.exit(0);
