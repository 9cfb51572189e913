"""kafka-python (pure Python): one command as JSON on standard input, its result as JSON on standard output."""
import json
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition


def text(value):
    return None if value is None else value.decode()


def data(value):
    return None if value is None else value.encode()


def produce(options):
    producer = KafkaProducer(
        bootstrap_servers=options['bootstrap'],
        compression_type=None if options['codec'] == 'none' else options['codec'],
        enable_idempotence=options['idempotent'],
        acks='all',
        linger_ms=20,
    )
    futures = [
        producer.send(
            options['topic'],
            key=data(message['key']),
            value=data(message['value']),
            headers=[(name, value.encode()) for name, value in message['headers']],
            partition=options.get('partition'),
            timestamp_ms=message.get('timestampMs'),
        )
        for message in options['messages']
    ]
    for future in futures:
        future.get(timeout=15)
    producer.close()


def assigned(options):
    consumer = KafkaConsumer(
        bootstrap_servers=options['bootstrap'],
        enable_auto_commit=False,
        auto_offset_reset='none',
        group_id=None,
    )
    partition = TopicPartition(options['topic'], options['partition'])
    consumer.assign([partition])
    return consumer, partition


def consume(options):
    consumer, partition = assigned(options)
    consumer.seek(partition, options['fromOffset'])
    end = consumer.end_offsets([partition])[partition]
    found = []
    while consumer.position(partition) < end:
        for message in consumer.poll(timeout_ms=1000).get(partition, []):
            found.append({
                'partition': message.partition,
                'offset': message.offset,
                'key': text(message.key),
                'value': text(message.value),
                'headers': [[name, text(value)] for name, value in message.headers],
                'timestampMs': message.timestamp,
            })
    consumer.close()
    return found


def offset_for_time(options):
    consumer, partition = assigned(options)
    answer = consumer.offsets_for_times({partition: options['timestampMs']})[partition]
    consumer.close()
    return -1 if answer is None else answer.offset


COMMANDS = {'produce': produce, 'consume': consume, 'offsetForTime': offset_for_time}
request = json.load(sys.stdin)
json.dump(COMMANDS[request['command']](request), sys.stdout)
