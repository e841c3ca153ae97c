// Signing in with a token.

import { h } from '../dom.js';

export function signIn({ message, isBusy }) {
  return h(
    'form',
    { class: 'signin', 'data-key': 'signin' },
    h('h1', {}, 'trunkline'),
    h('p', { class: 'detail' }, 'Sign in with a token of the API. It stays in this tab.'),
    h('label', { for: 'token' }, 'Token'),
    h('input', {
      id: 'token', name: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', maxlength: 200,
      placeholder: 'tl_…', required: true, 'aria-describedby': 'signin-message',
    }),
    h('p', { id: 'signin-message', role: 'alert', class: message ? 'failed' : null }, message),
    h('button', { type: 'submit', class: 'primary', 'aria-busy': isBusy ? 'true' : null }, 'Sign in'),
    h(
      'p',
      { class: 'detail' },
      'No token? ',
      h('code', {}, 'trunkline token add --scope read NAME'),
      ' prints one.',
    ),
  );
}
