// Autobahn for JavaScript does what applications are used to.
//
//     node --experimental-websocket everything.js URL json|msgpack|cbor
//
// Over RawSocket, which is rs://HOST:PORT, it has JSON alone.
'use strict';

const assert = require('node:assert');
const autobahn = require('autobahn');

const [url, name] = process.argv.slice(2);
const Serializer = {
    json: autobahn.serializer.JSONSerializer,
    msgpack: autobahn.serializer.MsgpackSerializer,
    cbor: autobahn.serializer.CBORSerializer,
}[name];

/** Where the router is, as a connection wants it. */
function place() {
    const { protocol, hostname: host, port } = new URL(url);
    return protocol === 'rs:' ? { transports: [{ type: 'rawsocket', host, port: Number(port) }] } : { url };
}

/** Opens a session at a realm. */
function join(realm = 'realm1', authentication = {}) {
    return new Promise((resolve, reject) => {
        const connection = new autobahn.Connection({
            ...place(), realm, serializers: [new Serializer()], max_retries: 0, ...authentication,
        });
        connection.onopen = (session) => resolve({ session, connection });
        connection.onclose = (reason, details) => {
            reject(new Error(`${reason} ${details && details.reason}`));
            return true;
        };
        connection.open();
    });
}

/** An array that can be waited for. */
function collect() {
    const events = [];
    events.until = async (count) => {
        for (let turn = 0; turn < 15000 && events.length < count; turn++) {
            await new Promise((resolve) => setTimeout(resolve, 10));
        }
        assert.strictEqual(events.length, count, JSON.stringify(events));
        return events;
    };
    return events;
}

async function topics(one, other) {
    const exact = collect(), prefix = collect(), wildcard = collect();
    await one.subscribe('js.a.b', (args, kwargs) => exact.push([args, kwargs]));
    await one.subscribe('js.a', (_, __, event) => prefix.push(event.topic), { match: 'prefix' });
    const subscription = await one.subscribe('js..b', (_, __, event) => wildcard.push(event.topic), { match: 'wildcard' });
    const sure = { acknowledge: true };
    await other.publish('js.a.b', [1, 'zwei', null, 2.5], { three: [true] }, sure);
    await other.publish('js.x.b', [], {}, sure);
    assert.deepStrictEqual(await exact.until(1), Object.assign([[[1, 'zwei', null, 2.5], { three: [true] }]], { until: exact.until }));
    await prefix.until(1);
    await wildcard.until(2);
    assert.deepStrictEqual([...wildcard], ['js.a.b', 'js.x.b']);
    await one.unsubscribe(subscription);
    await other.publish('js.x.b', [], {}, sure);
    // One's own event comes back only if that is asked for.
    const own = collect();
    await one.subscribe('js.own', (args) => own.push(args[0]));
    await one.publish('js.own', [1], {}, sure);
    await one.publish('js.own', [2], {}, { acknowledge: true, exclude_me: false });
    assert.deepStrictEqual([...await own.until(1)], [2]);
    assert.strictEqual(wildcard.length, 2);
}

async function procedures(one, other) {
    const registration = await one.register('js.add', (args) => args[0] + args[1]);
    assert.strictEqual(await other.call('js.add', [2, 3]), 5);
    await one.register('js.both', (args, kwargs) => new autobahn.Result(args, kwargs));
    const both = await other.call('js.both', [1, 2], { three: 3 });
    assert.deepStrictEqual([both.args, both.kwargs], [[1, 2], { three: 3 }]);
    await one.register('js.fails', () => {
        throw new autobahn.Error('js.error.mine', ['why'], { how: 'so' });
    });
    await assert.rejects(async () => other.call('js.fails'), (error) => {
        assert.deepStrictEqual([error.error, error.args, error.kwargs], ['js.error.mine', ['why'], { how: 'so' }]);
        return true;
    });
    // It announces progressive results without canceling, which they need: so it is not asked for them.
    await one.register('js.steps', (args, _, details) => (details.progress ? 'in steps' : args[0]));
    assert.strictEqual(await other.call('js.steps', ['at once'], {}, { receive_progress: true }), 'at once');
    await one.unregister(registration);
    await assert.rejects(async () => other.call('js.add', [1, 1]), (error) => error.error === 'wamp.error.no_such_procedure');
    const sessions = await other.call('wamp.session.list');
    assert.ok(sessions.includes(one.id) && sessions.includes(other.id));
}

async function proofs() {
    const ticket = { authmethods: ['ticket'], authid: 'tina' };
    const { connection } = await join('secure', { ...ticket, onchallenge: () => 'a ticket' });
    connection.close();
    const cra = {
        authmethods: ['wampcra'], authid: 'cora',
        onchallenge: (_, __, extra) => autobahn.auth_cra.sign('a secret', extra.challenge),
    };
    (await join('secure', cra)).connection.close();
    await assert.rejects(join('secure', { ...ticket, onchallenge: () => 'wrong' }));
}

(async () => {
    const one = await join(), other = await join();
    await topics(one.session, other.session);
    await procedures(one.session, other.session);
    await proofs();
    one.connection.close();
    other.connection.close();
    console.log('ok');
    process.exit(0);
})().catch((error) => {
    console.error(error);
    process.exit(1);
});
