"""confluent-kafka (librdkafka): one command as JSON on standard input, its result as JSON on standard output."""
import json
import sys

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition


def text(value):
    return None if value is None else value.decode()


def data(value):
    return None if value is None else value.encode()


def produce(options):
    producer = Producer({
        'bootstrap.servers': options['bootstrap'],
        'compression.type': options['codec'],
        'enable.idempotence': options['idempotent'],
        'partitioner': 'murmur2_random',
        'acks': 'all',
        'message.timeout.ms': 10000,
    })
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(str(error))

    for message in options['messages']:
        fields = {}
        if options.get('partition') is not None:
            fields['partition'] = options['partition']
        if message.get('timestampMs') is not None:
            fields['timestamp'] = message['timestampMs']
        producer.produce(
            options['topic'],
            key=data(message['key']),
            value=data(message['value']),
            headers=[(name, value.encode()) for name, value in message['headers']],
            on_delivery=delivered,
            **fields,
        )
    if producer.flush(15) > 0 or failures:
        raise RuntimeError('not delivered: %s' % failures)


def assigned(options):
    return Consumer({
        'bootstrap.servers': options['bootstrap'],
        'group.id': 'unused',
        'enable.auto.commit': False,
        'enable.partition.eof': True,
        'auto.offset.reset': 'error',
    })


def consume(options):
    consumer = assigned(options)
    consumer.assign([TopicPartition(options['topic'], options['partition'], options['fromOffset'])])
    found = []
    while True:
        message = consumer.poll(10)
        if message is None:
            raise RuntimeError('nothing came within 10 s')
        if message.error() is not None:
            if message.error().code() == KafkaError._PARTITION_EOF:
                break
            raise RuntimeError(str(message.error()))
        found.append({
            'partition': message.partition(),
            'offset': message.offset(),
            'key': text(message.key()),
            'value': text(message.value()),
            'headers': [[name, text(value)] for name, value in message.headers() or []],
            'timestampMs': message.timestamp()[1],
        })
    consumer.close()
    return found


def offset_for_time(options):
    consumer = assigned(options)
    asked = TopicPartition(options['topic'], options['partition'], options['timestampMs'])
    [answer] = consumer.offsets_for_times([asked], timeout=10)
    consumer.close()
    return answer.offset


COMMANDS = {'produce': produce, 'consume': consume, 'offsetForTime': offset_for_time}
request = json.load(sys.stdin)
json.dump(COMMANDS[request['command']](request), sys.stdout)
