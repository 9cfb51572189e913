// RabbitMQ's Go client, driven by lines of JSON (see driven-client.ts). Calls run one after the other.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"os"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// message is a delivery, an answer to get, or a returned message.
type message struct {
	Body         []byte         `json:"body"`
	Exchange     string         `json:"exchange"`
	RoutingKey   string         `json:"routingKey"`
	Properties   map[string]any `json:"properties"`
	DeliveryTag  uint64         `json:"deliveryTag,omitempty"`
	Redelivered  bool           `json:"redelivered"`
	ConsumerTag  string         `json:"consumerTag,omitempty"`
	MessageCount *uint32        `json:"messageCount,omitempty"`
	ReplyCode    uint16         `json:"replyCode,omitempty"`
	ReplyText    string         `json:"replyText,omitempty"`
}

// request is a call; each uses some of the fields.
type request struct {
	ID          int            `json:"id"`
	Op          string         `json:"op"`
	Connection  int            `json:"connection"`
	Channel     int            `json:"channel"`
	Survivor    int            `json:"survivor"`
	Host        string         `json:"host"`
	Port        int            `json:"port"`
	User        string         `json:"user"`
	Password    string         `json:"password"`
	VirtualHost string         `json:"virtualHost"`
	Confirms    bool           `json:"confirms"`
	Queue       string         `json:"queue"`
	Exchange    string         `json:"exchange"`
	RoutingKey  string         `json:"routingKey"`
	Type        string         `json:"type"`
	Destination string         `json:"destination"`
	Source      string         `json:"source"`
	From        string         `json:"from"`
	To          string         `json:"to"`
	Durable     bool           `json:"durable"`
	Exclusive   bool           `json:"exclusive"`
	AutoDelete  bool           `json:"autoDelete"`
	Internal    bool           `json:"internal"`
	IfUnused    bool           `json:"ifUnused"`
	IfEmpty     bool           `json:"ifEmpty"`
	Mandatory   bool           `json:"mandatory"`
	NoAck       bool           `json:"noAck"`
	Global      bool           `json:"global"`
	Multiple    bool           `json:"multiple"`
	Requeue     bool           `json:"requeue"`
	Count       int            `json:"count"`
	DeliveryTag uint64         `json:"deliveryTag"`
	ConsumerTag string         `json:"consumerTag"`
	Body        []byte         `json:"body"`
	Properties  map[string]any `json:"properties"`
	Arguments   map[string]any `json:"arguments"`
}

type fields map[string]any

// later stands for an answer that comes from elsewhere.
type later struct{}

type channel struct {
	*amqp.Channel
	number   int
	confirms bool
	// Delivered on a Go channel of its own; what it holds must be told before a publish counts as confirmed.
	returns chan amqp.Return
}

type survivor struct {
	connection *amqp.Connection
	channel    *amqp.Channel
	queue      string
}

var (
	output      sync.Mutex
	connections = map[int]*amqp.Connection{}
	channels    = map[int]*channel{}
	survivors   = map[int]*survivor{}
)

func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var call request
		if err := json.Unmarshal(line, &call); err != nil {
			panic(err)
		}
		result, err := perform(&call)
		if _, isLater := result.(later); !isLater {
			answer(call.ID, result, err)
		}
	}
}

func answer(id int, result any, err error) {
	if err == nil {
		tell(fields{"id": id, "result": result})
		return
	}
	told := fields{"text": err.Error()}
	var reply *amqp.Error
	// A refused login counts as the client's own error.
	if errors.As(err, &reply) && (reply.Server || reply.Code == amqp.AccessRefused) {
		told["code"] = reply.Code
	}
	tell(fields{"id": id, "error": told})
}

func tell(told fields) {
	line, err := json.Marshal(told)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(line))
}

func (call *request) url() string {
	user := url.UserPassword("guest", "guest")
	path := "/%2f"
	if call.User != "" {
		user = url.UserPassword(call.User, call.Password)
		path = "/" + url.PathEscape(call.VirtualHost)
	}
	return fmt.Sprintf("amqp://%s@%s:%d%s", user, call.Host, call.Port, path)
}

func perform(call *request) (any, error) {
	switch call.Op {
	case "connect":
		connection, err := amqp.Dial(call.url())
		connections[call.Connection] = connection
		return nil, err
	case "closeConnection":
		if connections[call.Connection].IsClosed() {
			return nil, nil
		}
		return nil, connections[call.Connection].Close()
	case "openChannel":
		opened, err := connections[call.Connection].Channel()
		if err != nil {
			return nil, err
		}
		return nil, newChannel(call, opened)
	case "survive":
		return nil, survive(call)
	case "publishSurvivor":
		return nil, survivors[call.Survivor].publish(call.Body)
	case "closeSurvivor":
		return nil, survivors[call.Survivor].connection.Close()
	}
	return channels[call.Channel].perform(call)
}

func newChannel(call *request, opened *amqp.Channel) error {
	made := &channel{opened, call.Channel, call.Confirms, opened.NotifyReturn(make(chan amqp.Return, 100))}
	channels[call.Channel] = made
	closed := opened.NotifyClose(make(chan *amqp.Error, 1))
	cancelled := opened.NotifyCancel(make(chan string, 100))
	go func() {
		for tag := range cancelled {
			tell(fields{"event": "cancelled", "channel": made.number, "consumerTag": tag})
		}
	}()
	go func() {
		for returned := range made.returns {
			tell(fields{"event": "returned", "channel": made.number, "message": fromReturn(returned)})
		}
	}()
	go func() {
		if err := <-closed; err != nil && err.Server {
			tell(fields{"event": "closed", "channel": made.number, "code": err.Code, "text": err.Reason})
		}
	}()
	if !call.Confirms {
		return nil
	}
	return opened.Confirm(false)
}

func declared(queue amqp.Queue, err error) (any, error) {
	return fields{"queue": queue.Name, "messageCount": queue.Messages, "consumerCount": queue.Consumers}, err
}

func (ch *channel) perform(call *request) (any, error) {
	arguments := toTable(call.Arguments)
	switch call.Op {
	case "declareQueue":
		return declared(ch.QueueDeclare(call.Queue, call.Durable, call.AutoDelete, call.Exclusive, false, arguments))
	case "checkQueue":
		return declared(ch.QueueDeclarePassive(call.Queue, true, false, false, false, nil))
	case "deleteQueue":
		return ch.QueueDelete(call.Queue, call.IfUnused, call.IfEmpty, false)
	case "purgeQueue":
		return ch.QueuePurge(call.Queue, false)
	case "bindQueue":
		return nil, ch.QueueBind(call.Queue, call.RoutingKey, call.Exchange, false, arguments)
	case "unbindQueue":
		return nil, ch.QueueUnbind(call.Queue, call.RoutingKey, call.Exchange, nil)
	case "declareExchange":
		return nil, ch.ExchangeDeclare(
			call.Exchange, call.Type, call.Durable, call.AutoDelete, call.Internal, false, arguments)
	case "checkExchange":
		return nil, ch.ExchangeDeclarePassive(call.Exchange, "direct", true, false, false, false, nil)
	case "deleteExchange":
		return nil, ch.ExchangeDelete(call.Exchange, false, false)
	case "bindExchange":
		return nil, ch.ExchangeBind(call.Destination, call.RoutingKey, call.Source, false, nil)
	case "publish":
		return ch.publish(call)
	case "get":
		found, ok, err := ch.Get(call.Queue, call.NoAck)
		if err != nil || !ok {
			return nil, err
		}
		told := fromDelivery(found)
		told.MessageCount = &found.MessageCount
		return told, nil
	case "forward":
		found, _, err := ch.Get(call.From, true)
		if err != nil {
			return nil, err
		}
		return nil, ch.Publish("", call.To, false, false, amqp.Publishing{Headers: found.Headers, Body: found.Body})
	case "prefetch":
		return nil, ch.Qos(call.Count, 0, call.Global)
	case "consume":
		return ch.consume(call, arguments)
	case "cancel":
		return nil, ch.Cancel(call.ConsumerTag, false)
	case "ack":
		return nil, ch.Ack(call.DeliveryTag, call.Multiple)
	case "nack":
		return nil, ch.Nack(call.DeliveryTag, call.Multiple, call.Requeue)
	case "reject":
		return nil, ch.Reject(call.DeliveryTag, call.Requeue)
	case "recover":
		return nil, ch.Recover(true)
	case "selectTransactions":
		return nil, ch.Tx()
	case "commit":
		return nil, ch.TxCommit()
	case "rollback":
		return nil, ch.TxRollback()
	case "closeChannel":
		return nil, ch.Close()
	}
	return nil, fmt.Errorf("unknown call %s", call.Op)
}

func (ch *channel) publish(call *request) (any, error) {
	publishing := toPublishing(call.Properties)
	publishing.Body = call.Body
	confirmation, err := ch.PublishWithDeferredConfirm(
		call.Exchange, call.RoutingKey, call.Mandatory, false, publishing)
	if err != nil || !ch.confirms {
		return "confirmed", err
	}
	go func() {
		if confirmation.Wait() {
			answer(call.ID, "confirmed", nil)
		} else {
			answer(call.ID, "refused", nil)
		}
	}()
	return later{}, nil
}

var tags = 0

func (ch *channel) consume(call *request, arguments amqp.Table) (any, error) {
	// The client does not tell a tag that the broker has given.
	tags++
	tag := fmt.Sprintf("go-%d", tags)
	deliveries, err := ch.Consume(call.Queue, tag, call.NoAck, call.Exclusive, false, false, arguments)
	if err != nil {
		return nil, err
	}
	go func() {
		for delivery := range deliveries {
			tell(fields{"event": "delivery", "channel": ch.number, "message": fromDelivery(delivery)})
		}
	}()
	return tag, nil
}

// survive makes a connection that the client itself recovers, with its channel and consumer.
func survive(call *request) error {
	recovery := &amqp.Recovery{
		ReconnectionConfig: &amqp.ReconnectionConfig{MaxRetryCount: 1000, RetryInterval: 50 * time.Millisecond},
	}
	connection, err := amqp.DialConfig(call.url(), amqp.Config{Recovery: recovery})
	if err != nil {
		return err
	}
	opened, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := opened.Confirm(false); err != nil {
		return err
	}
	if _, err := opened.QueueDeclare(call.Queue, true, false, false, false, nil); err != nil {
		return err
	}
	deliveries, err := opened.Consume(call.Queue, "survivor", false, false, false, false, nil)
	if err != nil {
		return err
	}
	number := call.Survivor
	survivors[number] = &survivor{connection, opened, call.Queue}
	go func() {
		for delivery := range deliveries {
			tell(fields{"event": "survived", "survivor": number, "body": delivery.Body})
			_ = delivery.Ack(false)
		}
	}()
	return nil
}

func (s *survivor) publish(body []byte) error {
	publishing := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}
	confirmation, err := s.channel.PublishWithDeferredConfirm("", s.queue, false, false, publishing)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = confirmation.WaitContext(limit)
	return err
}

// Messages

func fromDelivery(found amqp.Delivery) message {
	return message{
		Body: notNil(found.Body), Exchange: found.Exchange, RoutingKey: found.RoutingKey,
		DeliveryTag: found.DeliveryTag, Redelivered: found.Redelivered, ConsumerTag: found.ConsumerTag,
		Properties: fromProperties(amqp.Publishing{
			ContentType: found.ContentType, ContentEncoding: found.ContentEncoding, Headers: found.Headers,
			DeliveryMode: found.DeliveryMode, Priority: found.Priority, CorrelationId: found.CorrelationId,
			ReplyTo: found.ReplyTo, Expiration: found.Expiration, MessageId: found.MessageId,
			Timestamp: found.Timestamp, Type: found.Type, UserId: found.UserId, AppId: found.AppId,
		}),
	}
}

func fromReturn(found amqp.Return) message {
	return message{
		Body: notNil(found.Body), Exchange: found.Exchange, RoutingKey: found.RoutingKey,
		ReplyCode: found.ReplyCode, ReplyText: found.ReplyText,
		Properties: fromProperties(amqp.Publishing{MessageId: found.MessageId, Headers: found.Headers}),
	}
}

func notNil(body []byte) []byte {
	if body == nil {
		return []byte{}
	}
	return body
}

func toPublishing(given map[string]any) (made amqp.Publishing) {
	text := func(name string) string { value, _ := given[name].(string); return value }
	number := func(name string) int64 { value, _ := given[name].(float64); return int64(value) }
	made = amqp.Publishing{
		ContentType: text("contentType"), ContentEncoding: text("contentEncoding"),
		DeliveryMode: uint8(number("deliveryMode")), Priority: uint8(number("priority")),
		CorrelationId: text("correlationId"), ReplyTo: text("replyTo"), Expiration: text("expiration"),
		MessageId: text("messageId"), Type: text("type"), UserId: text("userId"), AppId: text("appId"),
	}
	if seconds := number("timestamp"); seconds != 0 {
		made.Timestamp = time.Unix(seconds, 0)
	}
	if headers, ok := given["headers"].(map[string]any); ok {
		made.Headers = toTable(headers)
	}
	return made
}

// fromProperties leaves out what is zero: the client does not tell it from what is not there.
func fromProperties(found amqp.Publishing) map[string]any {
	all := map[string]any{
		"contentType": found.ContentType, "contentEncoding": found.ContentEncoding,
		"deliveryMode": found.DeliveryMode, "priority": found.Priority, "correlationId": found.CorrelationId,
		"replyTo": found.ReplyTo, "expiration": found.Expiration, "messageId": found.MessageId,
		"type": found.Type, "userId": found.UserId, "appId": found.AppId,
	}
	for name, value := range all {
		if value == "" || value == uint8(0) {
			delete(all, name)
		}
	}
	if !found.Timestamp.IsZero() {
		all["timestamp"] = found.Timestamp.Unix()
	}
	if len(found.Headers) > 0 {
		all["headers"] = plain(found.Headers)
	}
	return all
}

func toTable(given map[string]any) amqp.Table {
	table := amqp.Table{}
	for name, value := range given {
		if number, ok := value.(float64); ok && number == math.Trunc(number) {
			table[name] = int64(number)
		} else {
			table[name] = value
		}
	}
	return table
}

func plain(value any) any {
	switch typed := value.(type) {
	case []byte:
		return fields{"!bytes": hex.EncodeToString(typed)}
	case time.Time:
		return fields{"!timestamp": typed.Unix()}
	case amqp.Decimal:
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(typed.Scale)), nil)
		return fields{"!decimal": new(big.Rat).SetFrac(big.NewInt(int64(typed.Value)), scale).FloatString(int(typed.Scale))}
	case []any:
		list := []any{}
		for _, each := range typed {
			list = append(list, plain(each))
		}
		return list
	case amqp.Table:
		table := fields{}
		for name, each := range typed {
			table[name] = plain(each)
		}
		return table
	}
	return value
}
