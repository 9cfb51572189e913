import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.ToNumberPolicy;
import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** RabbitMQ's Java client, driven by lines of JSON (see driven-client.ts). Calls run one after the other. */
public class AmqpDriver {
    /** The answer comes later, from a callback. */
    private static final Object LATER = new Object();

    private static final Gson JSON = new GsonBuilder()
        .serializeNulls()
        .disableHtmlEscaping()
        .setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE)
        .create();
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final Map<Integer, Connection> connections = new HashMap<>();
    private static final Map<Integer, DrivenChannel> channels = new HashMap<>();
    private static final Map<Integer, Survivor> survivors = new HashMap<>();

    public static void main(String[] words) throws IOException {
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
        });
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Request request = new Request(JSON.fromJson(line, Object.class));
            try {
                Object result = perform(request);
                if (result != LATER) answer(request.number("id"), result);
            } catch (Exception error) {
                tell("id", request.number("id"), "error", replyError(error));
            }
        }
        // Connections have threads that would go on.
        System.exit(0);
    }

    /** The fields of a call. */
    private record Request(Map<?, ?> fields) {
        Request(Object parsed) {
            this((Map<?, ?>) parsed);
        }

        String text(String name) {
            return (String) fields.get(name);
        }

        int number(String name) {
            return ((Number) fields.get(name)).intValue();
        }

        boolean flag(String name) {
            return (Boolean) fields.get(name);
        }

        byte[] bytes(String name) {
            return Base64.getDecoder().decode(text(name));
        }

        @SuppressWarnings("unchecked")
        Map<String, Object> table(String name) {
            return (Map<String, Object>) fields.get(name);
        }
    }

    private static Object perform(Request request) throws Exception {
        switch (request.text("op")) {
            case "connect":
                ConnectionFactory factory = factory(request);
                factory.setUsername(request.text("user"));
                factory.setPassword(request.text("password"));
                factory.setVirtualHost(request.text("virtualHost"));
                factory.setAutomaticRecoveryEnabled(false);
                connections.put(request.number("connection"), factory.newConnection());
                return null;
            case "closeConnection":
                Connection connection = connections.get(request.number("connection"));
                if (connection.isOpen()) connection.close();
                return null;
            case "openChannel":
                Channel channel = connections.get(request.number("connection")).createChannel();
                int number = request.number("channel");
                channels.put(number, new DrivenChannel(number, channel, request.flag("confirms")));
                return null;
            case "survive":
                survivors.put(request.number("survivor"), new Survivor(request));
                return null;
            case "publishSurvivor":
                survivors.get(request.number("survivor")).publish(request.bytes("body"));
                return null;
            case "closeSurvivor":
                survivors.get(request.number("survivor")).connection.close();
                return null;
            default:
                return channels.get(request.number("channel")).perform(request);
        }
    }

    private static ConnectionFactory factory(Request request) {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost(request.text("host"));
        factory.setPort(request.number("port"));
        return factory;
    }

    private static class DrivenChannel {
        private final int number;
        private final Channel channel;
        private final boolean confirms;
        /** Numbers of calls by the sequence numbers of their messages. */
        private final TreeMap<Long, Integer> unconfirmed = new TreeMap<>();

        DrivenChannel(int number, Channel channel, boolean confirms) throws IOException {
            this.number = number;
            this.channel = channel;
            this.confirms = confirms;
            if (confirms) {
                channel.confirmSelect();
                channel.addConfirmListener(
                    (tag, multiple) -> settle(tag, multiple, "confirmed"),
                    (tag, multiple) -> settle(tag, multiple, "refused"));
            }
            channel.addReturnListener(returned -> {
                Map<String, Object> message =
                    message(returned.getExchange(), returned.getRoutingKey(), returned.getProperties(), returned.getBody());
                message.put("replyCode", returned.getReplyCode());
                message.put("replyText", returned.getReplyText());
                tell("event", "returned", "channel", number, "message", message);
            });
            channel.addShutdownListener(cause -> {
                if (!(cause.getReason() instanceof AMQP.Channel.Close reason)) return;
                if (cause.isInitiatedByApplication()) return;
                tell("event", "closed", "channel", number, "code", reason.getReplyCode(), "text", reason.getReplyText());
            });
        }

        private void settle(long tag, boolean multiple, String outcome) {
            synchronized (unconfirmed) {
                Map<Long, Integer> settled = unconfirmed.subMap(multiple ? 0 : tag, true, tag, true);
                for (int call : settled.values()) answer(call, outcome);
                settled.clear();
            }
        }

        Object perform(Request request) throws Exception {
            String queue = request.text("queue");
            String exchange = request.text("exchange");
            String routingKey = request.text("routingKey");
            switch (request.text("op")) {
                case "declareQueue":
                    return declared(channel.queueDeclare(
                        queue,
                        request.flag("durable"),
                        request.flag("exclusive"),
                        request.flag("autoDelete"),
                        request.table("arguments")));
                case "checkQueue":
                    return declared(channel.queueDeclarePassive(queue));
                case "deleteQueue":
                    return channel.queueDelete(queue, request.flag("ifUnused"), request.flag("ifEmpty")).getMessageCount();
                case "purgeQueue":
                    return channel.queuePurge(queue).getMessageCount();
                case "bindQueue":
                    channel.queueBind(queue, exchange, routingKey, request.table("arguments"));
                    return null;
                case "unbindQueue":
                    channel.queueUnbind(queue, exchange, routingKey);
                    return null;
                case "declareExchange":
                    channel.exchangeDeclare(
                        exchange,
                        request.text("type"),
                        request.flag("durable"),
                        request.flag("autoDelete"),
                        request.flag("internal"),
                        request.table("arguments"));
                    return null;
                case "checkExchange":
                    channel.exchangeDeclarePassive(exchange);
                    return null;
                case "deleteExchange":
                    channel.exchangeDelete(exchange);
                    return null;
                case "bindExchange":
                    channel.exchangeBind(request.text("destination"), request.text("source"), routingKey);
                    return null;
                case "publish":
                    AMQP.BasicProperties properties = toProperties(request.table("properties"));
                    byte[] body = request.bytes("body");
                    if (!confirms) {
                        channel.basicPublish(exchange, routingKey, request.flag("mandatory"), properties, body);
                        return "confirmed";
                    }
                    synchronized (unconfirmed) {
                        unconfirmed.put(channel.getNextPublishSeqNo(), request.number("id"));
                    }
                    channel.basicPublish(exchange, routingKey, request.flag("mandatory"), properties, body);
                    return LATER;
                case "get":
                    GetResponse found = channel.basicGet(queue, request.flag("noAck"));
                    if (found == null) return null;
                    Map<String, Object> message = delivery(found.getEnvelope(), found.getProps(), found.getBody());
                    message.put("messageCount", found.getMessageCount());
                    return message;
                case "forward":
                    GetResponse taken = channel.basicGet(request.text("from"), true);
                    channel.basicPublish("", request.text("to"), taken.getProps(), taken.getBody());
                    return null;
                case "prefetch":
                    channel.basicQos(request.number("count"), request.flag("global"));
                    return null;
                case "consume":
                    return channel.basicConsume(
                        queue,
                        request.flag("noAck"),
                        "",
                        false,
                        request.flag("exclusive"),
                        request.table("arguments"),
                        new DrivenConsumer());
                case "cancel":
                    channel.basicCancel(request.text("consumerTag"));
                    return null;
                case "ack":
                    channel.basicAck(request.number("deliveryTag"), request.flag("multiple"));
                    return null;
                case "nack":
                    channel.basicNack(request.number("deliveryTag"), request.flag("multiple"), request.flag("requeue"));
                    return null;
                case "reject":
                    channel.basicReject(request.number("deliveryTag"), request.flag("requeue"));
                    return null;
                case "recover":
                    channel.basicRecover(true);
                    return null;
                case "selectTransactions":
                    channel.txSelect();
                    return null;
                case "commit":
                    channel.txCommit();
                    return null;
                case "rollback":
                    channel.txRollback();
                    return null;
                case "closeChannel":
                    channel.close();
                    return null;
                default:
                    throw new IllegalArgumentException("unknown call " + request.text("op"));
            }
        }

        private class DrivenConsumer extends DefaultConsumer {
            DrivenConsumer() {
                super(channel);
            }

            @Override
            public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
                Map<String, Object> message = delivery(envelope, properties, body);
                message.put("consumerTag", tag);
                tell("event", "delivery", "channel", number, "message", message);
            }

            @Override
            public void handleCancel(String tag) {
                tell("event", "cancelled", "channel", number, "consumerTag", tag);
            }
        }
    }

    /** Recovery of connections, channels and consumers is the client's default. */
    private static class Survivor {
        final Connection connection;
        private final Channel channel;
        private final String queue;

        Survivor(Request request) throws Exception {
            int number = request.number("survivor");
            queue = request.text("queue");
            ConnectionFactory factory = factory(request);
            factory.setNetworkRecoveryInterval(50);
            connection = factory.newConnection();
            channel = connection.createChannel();
            channel.confirmSelect();
            channel.queueDeclare(queue, true, false, false, null);
            channel.basicConsume(queue, false, (tag, delivery) -> onDelivery(number, delivery), tag -> {});
        }

        private void onDelivery(int number, Delivery delivery) throws IOException {
            tell("event", "survived", "survivor", number, "body", Base64.getEncoder().encodeToString(delivery.getBody()));
            channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
        }

        void publish(byte[] body) throws Exception {
            channel.basicPublish("", queue, new AMQP.BasicProperties.Builder().deliveryMode(2).build(), body);
            channel.waitForConfirmsOrDie(10_000);
        }
    }

    // Messages

    private static Map<String, Object> declared(AMQP.Queue.DeclareOk reply) {
        return fields(
            "queue", reply.getQueue(),
            "messageCount", reply.getMessageCount(),
            "consumerCount", reply.getConsumerCount());
    }

    private static Map<String, Object> delivery(Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
        Map<String, Object> message = message(envelope.getExchange(), envelope.getRoutingKey(), properties, body);
        message.put("deliveryTag", envelope.getDeliveryTag());
        message.put("redelivered", envelope.isRedeliver());
        return message;
    }

    private static Map<String, Object> message(
        String exchange, String routingKey, AMQP.BasicProperties properties, byte[] body) {
        return fields(
            "exchange", exchange,
            "routingKey", routingKey,
            "properties", fromProperties(properties),
            "body", Base64.getEncoder().encodeToString(body));
    }

    private static AMQP.BasicProperties toProperties(Map<String, Object> given) {
        AMQP.BasicProperties.Builder builder = new AMQP.BasicProperties.Builder();
        for (Map.Entry<String, Object> entry : given.entrySet()) {
            Object value = entry.getValue();
            switch (entry.getKey()) {
                case "contentType" -> builder.contentType((String) value);
                case "contentEncoding" -> builder.contentEncoding((String) value);
                case "headers" -> builder.headers(table(value));
                case "deliveryMode" -> builder.deliveryMode(((Number) value).intValue());
                case "priority" -> builder.priority(((Number) value).intValue());
                case "correlationId" -> builder.correlationId((String) value);
                case "replyTo" -> builder.replyTo((String) value);
                case "expiration" -> builder.expiration((String) value);
                case "messageId" -> builder.messageId((String) value);
                case "timestamp" -> builder.timestamp(new Date(((Number) value).longValue() * 1000));
                case "type" -> builder.type((String) value);
                case "userId" -> builder.userId((String) value);
                case "appId" -> builder.appId((String) value);
                default -> throw new IllegalArgumentException("unknown property " + entry.getKey());
            }
        }
        return builder.build();
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> table(Object value) {
        return (Map<String, Object>) value;
    }

    private static Map<String, Object> fromProperties(AMQP.BasicProperties properties) {
        Map<String, Object> all = fields(
            "contentType", properties.getContentType(),
            "contentEncoding", properties.getContentEncoding(),
            "headers", properties.getHeaders() == null ? null : plain(properties.getHeaders()),
            "deliveryMode", properties.getDeliveryMode(),
            "priority", properties.getPriority(),
            "correlationId", properties.getCorrelationId(),
            "replyTo", properties.getReplyTo(),
            "expiration", properties.getExpiration(),
            "messageId", properties.getMessageId(),
            "timestamp", properties.getTimestamp() == null ? null : properties.getTimestamp().getTime() / 1000,
            "type", properties.getType(),
            "userId", properties.getUserId(),
            "appId", properties.getAppId());
        all.values().removeIf(value -> value == null);
        return all;
    }

    private static Object plain(Object value) {
        if (value instanceof LongString) return value.toString();
        if (value instanceof byte[] bytes) {
            StringBuilder hexadecimal = new StringBuilder();
            for (byte each : bytes) hexadecimal.append(String.format("%02x", each));
            return fields("!bytes", hexadecimal.toString());
        }
        if (value instanceof Date date) return fields("!timestamp", date.getTime() / 1000);
        if (value instanceof BigDecimal decimal) return fields("!decimal", decimal.toPlainString());
        if (value instanceof List<?> list) {
            List<Object> plain = new ArrayList<>();
            for (Object each : list) plain.add(plain(each));
            return plain;
        }
        if (value instanceof Map<?, ?> map) {
            Map<String, Object> plain = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : map.entrySet()) plain.put((String) entry.getKey(), plain(entry.getValue()));
            return plain;
        }
        return value;
    }

    // Answers

    private static Map<String, Object> replyError(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            // Its text is all that it has.
            if (cause instanceof AuthenticationFailureException) {
                return fields("code", AMQP.ACCESS_REFUSED, "text", cause.getMessage());
            }
            if (!(cause instanceof ShutdownSignalException signal)) continue;
            if (signal.getReason() instanceof AMQP.Channel.Close close) {
                return fields("code", close.getReplyCode(), "text", close.getReplyText());
            }
            if (signal.getReason() instanceof AMQP.Connection.Close close) {
                return fields("code", close.getReplyCode(), "text", close.getReplyText());
            }
        }
        return fields("text", String.valueOf(error));
    }

    private static Map<String, Object> fields(Object... namesAndValues) {
        Map<String, Object> fields = new LinkedHashMap<>();
        for (int index = 0; index < namesAndValues.length; index += 2) {
            fields.put((String) namesAndValues[index], namesAndValues[index + 1]);
        }
        return fields;
    }

    private static void answer(int call, Object result) {
        tell("id", call, "result", result);
    }

    private static synchronized void tell(Object... namesAndValues) {
        OUT.println(JSON.toJson(fields(namesAndValues)));
    }
}
