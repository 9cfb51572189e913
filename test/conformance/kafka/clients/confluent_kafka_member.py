"""confluent-kafka as a member of a group: prints `partition/offset` of each record; SIGTERM makes it leave."""
import json
import signal
import sys

from confluent_kafka import Consumer

options = json.loads(sys.argv[1])
stopped = []
signal.signal(signal.SIGTERM, lambda _signal, _frame: stopped.append(True))

# Stored by hand, so that nothing is committed before it was printed.
consumer = Consumer({**options['settings'], 'enable.auto.offset.store': False})
consumer.subscribe([options['topic']])
while not stopped:
    message = consumer.poll(0.1)
    # Errors here are those that librdkafka goes on after, such as a broker that is away.
    if message is None or message.error() is not None:
        continue
    print('%d/%d' % (message.partition(), message.offset()), flush=True)
    try:
        consumer.store_offsets(message)
    except Exception as error:  # the partition was taken away meanwhile
        print(error, file=sys.stderr)
consumer.close()
