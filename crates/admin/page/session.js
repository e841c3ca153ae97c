// The token, for as long as the tab is open.

const KEY = 'trunkline.token';

export const token = () => sessionStorage.getItem(KEY);

export const keep = (text) => sessionStorage.setItem(KEY, text);

export const forget = () => sessionStorage.removeItem(KEY);
