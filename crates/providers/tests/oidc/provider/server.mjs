// A real identity provider on loopback: listens on a free port, then says where. Signs everybody in as
// the `login_hint`, so that a test can walk the whole flow without a browser.
//
// It reads its clients' secrets and the redirect address from the environment and keeps all in memory.

import http from 'node:http';
import { webcrypto } from 'node:crypto';
import Provider from 'oidc-provider';

const { REDIRECT_URI, CLIENT_SECRET } = process.env;

async function signingKey(kid, alg, parameters) {
  const pair = await webcrypto.subtle.generateKey(parameters, true, ['sign', 'verify']);
  return { ...(await webcrypto.subtle.exportKey('jwk', pair.privateKey)), kid, alg, use: 'sig', key_ops: undefined };
}

const rsa = { modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' };
const keys = [
  await signingKey('r', 'RS256', { name: 'RSASSA-PKCS1-v1_5', ...rsa }),
  await signingKey('p', 'PS256', { name: 'RSA-PSS', ...rsa }),
  await signingKey('e', 'ES256', { name: 'ECDSA', namedCurve: 'P-256' }),
  await signingKey('d', 'EdDSA', { name: 'Ed25519' }),
];

const client = (client_id, id_token_signed_response_alg) => ({
  client_id,
  client_secret: CLIENT_SECRET,
  redirect_uris: [REDIRECT_URI],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  token_endpoint_auth_method: 'client_secret_basic',
  id_token_signed_response_alg,
});

const server = http.createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    client('rs256', 'RS256'),
    client('ps256', 'PS256'),
    client('es256', 'ES256'),
    client('eddsa', 'EdDSA'),
  ],
  jwks: { keys: keys.map((key) => JSON.parse(JSON.stringify(key))) },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  cookies: { keys: ['only for tests'] },
  pkce: { required: () => true },
  // The address and the name come from userinfo, as the standard prefers for this flow.
  claims: { openid: ['sub', 'acr', 'amr', 'auth_time'], email: ['email', 'email_verified'], profile: ['name'] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, accountId) => ({
    accountId,
    claims: () => ({ sub: accountId, email: `${accountId}@example.com`, email_verified: true, name: 'Ana López' }),
  }),
});

// Signs in and agrees to whatever is asked, in one step.
async function interact(request, response) {
  const { params, session } = await provider.interactionDetails(request, response);
  const accountId = session?.accountId ?? params.login_hint;
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { login: { accountId, amr: ['pwd', 'otp'] }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

const serve = provider.callback();
server.on('request', (request, response) => {
  if (!request.url.startsWith('/interaction/')) return serve(request, response);
  return interact(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(String(error));
  });
});

// Goes when whoever started it is gone, however that went.
const starter = process.ppid;
setInterval(() => process.ppid === starter || process.exit(0), 1000).unref();
console.log(`ready ${issuer}`);
