// How a participant is told what to do: one JSON object a line on standard input, answered by one
// with an "answer" on standard output, where SDKs may log as well. "do" names what is to be done,
// the rest are its parameters. Where "join" has a key, in hexadecimal, everything is encrypted.

import { createInterface } from 'node:readline';

export async function obey(act) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: method, ...parameters } = JSON.parse(line);
    const answer = (await act(method, parameters)) ?? {};
    console.log(JSON.stringify({ answer }));
  }
}
