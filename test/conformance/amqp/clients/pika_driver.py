"""pika's BlockingConnection, driven by lines of JSON (see driven-client.ts). A thread per connection."""
import base64
import calendar
import datetime
import decimal
import json
import queue
import re
import sys
import threading

import pika
from pika import exceptions

PROPERTIES = {
    'contentType': 'content_type',
    'contentEncoding': 'content_encoding',
    'headers': 'headers',
    'deliveryMode': 'delivery_mode',
    'priority': 'priority',
    'correlationId': 'correlation_id',
    'replyTo': 'reply_to',
    'expiration': 'expiration',
    'messageId': 'message_id',
    'timestamp': 'timestamp',
    'type': 'type',
    'userId': 'user_id',
    'appId': 'app_id',
}

output_lock = threading.Lock()


def tell(answer):
    with output_lock:
        print(json.dumps(answer), flush=True)


def plain(value):
    if isinstance(value, bytes):
        return {'!bytes': value.hex()}
    if isinstance(value, decimal.Decimal):
        return {'!decimal': str(value)}
    if isinstance(value, datetime.datetime):
        return {'!timestamp': calendar.timegm(value.utctimetuple())}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def to_properties(given):
    return pika.BasicProperties(**{PROPERTIES[name]: value for name, value in given.items()})


def from_properties(properties):
    pairs = ((name, getattr(properties, attribute)) for name, attribute in PROPERTIES.items())
    return {name: plain(value) for name, value in pairs if value is not None}


def message(method, properties, body):
    found = {
        'exchange': method.exchange,
        'routingKey': method.routing_key,
        'properties': from_properties(properties),
        'body': base64.b64encode(body).decode(),
    }
    names = {
        'deliveryTag': 'delivery_tag',
        'redelivered': 'redelivered',
        'consumerTag': 'consumer_tag',
        'messageCount': 'message_count',
        'replyCode': 'reply_code',
        'replyText': 'reply_text',
    }
    for name, attribute in names.items():
        if hasattr(method, attribute):
            found[name] = getattr(method, attribute)
    return found


def reply_error(error):
    """What the broker said. Of a connection that was not opened pika tells it in the text alone."""
    if isinstance(error, (exceptions.ChannelClosedByBroker, exceptions.ConnectionClosedByBroker)):
        return {'code': error.reply_code, 'text': error.reply_text}
    told = re.search(r"ClosedByBroker: \((\d{3})\) '?(.*)", repr(error))
    return {'text': repr(error)} if told is None else {'code': int(told[1]), 'text': told[2]}


class Channel:
    def __init__(self, number, channel, confirms):
        self.number = number
        self.channel = channel
        self.confirms = confirms
        if confirms:
            channel.confirm_delivery()
        channel.add_on_return_callback(lambda _, *returned: self.event('returned', message=message(*returned)))
        channel.add_on_cancel_callback(lambda frame: self.event('cancelled', consumerTag=frame.method.consumer_tag))
        # What the channel was closed with without a call that could be told.
        channel._impl.add_on_close_callback(self.on_closed)

    def event(self, name, **fields):
        tell({'event': name, 'channel': self.number, **fields})

    def on_closed(self, _, reason):
        if isinstance(reason, exceptions.ChannelClosedByBroker):
            self.event('closed', code=reason.reply_code, text=reason.reply_text)

    def declareQueue(self, queue, durable, exclusive, autoDelete, arguments):
        return self.declared(self.channel.queue_declare(queue, False, durable, exclusive, autoDelete, arguments))

    def checkQueue(self, queue):
        return self.declared(self.channel.queue_declare(queue, passive=True))

    @staticmethod
    def declared(frame):
        method = frame.method
        return {'queue': method.queue, 'messageCount': method.message_count, 'consumerCount': method.consumer_count}

    def deleteQueue(self, queue, ifUnused, ifEmpty):
        return self.channel.queue_delete(queue, if_unused=ifUnused, if_empty=ifEmpty).method.message_count

    def purgeQueue(self, queue):
        return self.channel.queue_purge(queue).method.message_count

    def bindQueue(self, queue, exchange, routingKey, arguments):
        self.channel.queue_bind(queue, exchange, routingKey, arguments)

    def unbindQueue(self, queue, exchange, routingKey):
        self.channel.queue_unbind(queue, exchange, routingKey)

    def declareExchange(self, exchange, type, durable, autoDelete, internal, arguments):
        self.channel.exchange_declare(exchange, type, False, durable, autoDelete, internal, arguments)

    def checkExchange(self, exchange):
        self.channel.exchange_declare(exchange, passive=True)

    def deleteExchange(self, exchange):
        self.channel.exchange_delete(exchange)

    def bindExchange(self, destination, source, routingKey):
        self.channel.exchange_bind(destination, source, routingKey)

    def publish(self, exchange, routingKey, body, properties, mandatory):
        return self.send(exchange, routingKey, base64.b64decode(body), to_properties(properties), mandatory)

    def send(self, exchange, routing_key, body, properties, mandatory=False):
        try:
            self.channel.basic_publish(exchange, routing_key, body, properties, mandatory)
        except exceptions.NackError:
            return 'refused'
        except exceptions.UnroutableError:
            # Confirmed and returned; the callback has been told of it.
            pass
        return 'confirmed'

    def get(self, queue, noAck):
        method, properties, body = self.channel.basic_get(queue, noAck)
        return None if method is None else message(method, properties, body)

    def forward(self, **queues):
        _, properties, body = self.channel.basic_get(queues['from'], True)
        self.send('', queues['to'], body, properties)

    def prefetch(self, count, **options):
        self.channel.basic_qos(prefetch_count=count, global_qos=options['global'])

    def consume(self, queue, noAck, exclusive, arguments):
        on_message = lambda _, *delivery: self.event('delivery', message=message(*delivery))
        return self.channel.basic_consume(queue, on_message, noAck, exclusive, arguments=arguments)

    def cancel(self, consumerTag):
        self.channel.basic_cancel(consumerTag)

    def ack(self, deliveryTag, multiple):
        self.channel.basic_ack(deliveryTag, multiple)

    def nack(self, deliveryTag, multiple, requeue):
        self.channel.basic_nack(deliveryTag, multiple, requeue)

    def reject(self, deliveryTag, requeue):
        self.channel.basic_reject(deliveryTag, requeue)

    def recover(self):
        self.channel.basic_recover(True)

    def selectTransactions(self):
        self.channel.tx_select()

    def commit(self):
        self.channel.tx_commit()

    def rollback(self):
        self.channel.tx_rollback()

    def closeChannel(self):
        self.channel.close()


class Connection:
    """Calls to it wait in a queue; between them its thread reads what comes unasked."""

    def __init__(self, host, port, user, password, virtualHost):
        self.calls = queue.Queue()
        self.channels = {}
        credentials = pika.PlainCredentials(user, password)
        parameters = pika.ConnectionParameters(host, port, virtualHost, credentials, connection_attempts=1)
        self.connection = pika.BlockingConnection(parameters)
        threading.Thread(target=self.run, daemon=True).start()

    def call(self, request):
        self.calls.put(request)
        try:
            self.connection.add_callback_threadsafe(lambda: None)
        except exceptions.ConnectionWrongStateError:
            pass

    def run(self):
        while True:
            try:
                request = self.calls.get_nowait() if self.connection.is_open else self.calls.get()
            except queue.Empty:
                try:
                    self.connection.process_data_events(time_limit=None)
                except exceptions.AMQPError:
                    pass
                continue
            answer(request, self.perform)

    def perform(self, op, channel=None, connection=None, **options):
        if op == 'openChannel':
            self.channels[channel] = Channel(channel, self.connection.channel(), options['confirms'])
        elif op == 'closeConnection':
            if self.connection.is_open:
                self.connection.close()
        else:
            return getattr(self.channels[channel], op)(**options)


def answer(request, perform):
    number = request.pop('id')
    try:
        tell({'id': number, 'result': perform(**request)})
    except Exception as error:  # whatever it is, the other side has to hear of it
        tell({'id': number, 'error': reply_error(error)})


connections = {}
owners = {}


def connect(op, connection, **options):
    connections[connection] = Connection(**options)


for line in sys.stdin:
    request = json.loads(line)
    if request['op'] == 'connect':
        answer(request, connect)
        continue
    if request['op'] == 'openChannel':
        owners[request['channel']] = connections[request['connection']]
    owner = owners[request['channel']] if 'channel' in request else connections[request['connection']]
    owner.call(request)
