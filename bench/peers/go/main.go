// A loop on the AWS SDK for Go v2, tuned: many workers on a pool of connections, each receives ten, puts them at once
// and deletes them together. It does the service's plain work, an email's key and document included: no leases,
// no quarantine, no circuit, no metrics.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/mail"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

const (
	workers     = 64        // each works on ten messages at a time
	uploads     = 256       // PUTs at once, of all workers
	gcPercent   = 400       // collect garbage a quarter as often as by default ...
	memoryLimit = 160 << 20 // ... and more often above this many bytes
)

type email struct {
	Subject    json.RawMessage `json:"email_subject"`
	Sender     string          `json:"email_sender"`
	Timestream json.RawMessage `json:"email_timestream"`
	Content    json.RawMessage `json:"email_content"`
}

// objectOf makes a message's key and document.
func objectOf(message types.Message) (string, []byte, error) {
	var parsed email
	if err := json.Unmarshal([]byte(*message.Body), &parsed); err != nil {
		return "", nil, err
	}
	if parsed.Subject == nil || parsed.Timestream == nil || parsed.Content == nil {
		return "", nil, errors.New("not an email")
	}
	address, err := mail.ParseAddress(parsed.Sender)
	if err != nil {
		return "", nil, err
	}
	local, _, _ := strings.Cut(address.Address, "@")
	milliseconds, err := strconv.ParseInt(message.Attributes["ApproximateFirstReceiveTimestamp"], 10, 64)
	if err != nil {
		return "", nil, err
	}
	moment := time.UnixMilli(milliseconds).UTC()
	key := fmt.Sprintf("emails/%s/%s/%s_%s.json", moment.Format("2006/01/02"), local, *message.MessageId, moment.Format("150405"))
	document := fmt.Appendf(nil, `{"message_id":"%s","processed_at":"%s","email_data":%s,"metadata":{"processor_version":"1.0.0","source":"email-validation-service"}}`,
		*message.MessageId, moment.Format(time.RFC3339), *message.Body)
	return key, document, nil
}

type archiver struct {
	sqs           *sqs.Client
	s3            *s3.Client
	queue, bucket string
	slots         chan struct{} // one for each PUT that may be under way
}

// store puts one message; that its object is there already is as good.
func (a *archiver) store(ctx context.Context, message types.Message) error {
	key, document, err := objectOf(message)
	if err != nil {
		return err
	}
	a.slots <- struct{}{}
	defer func() { <-a.slots }()
	_, err = a.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket:      &a.bucket,
		Key:         &key,
		Body:        bytes.NewReader(document),
		ContentType: aws.String("application/json"),
		IfNoneMatch: aws.String("*"),
	})
	var refused smithy.APIError
	if errors.As(err, &refused) && refused.ErrorCode() == "PreconditionFailed" {
		return nil
	}
	return err
}

func (a *archiver) batch(ctx context.Context) error {
	answer, err := a.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &a.queue,
		MaxNumberOfMessages:         10,
		WaitTimeSeconds:             20,
		VisibilityTimeout:           300,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil || len(answer.Messages) == 0 {
		return err
	}
	failures := make([]error, len(answer.Messages))
	var puts sync.WaitGroup
	for n, message := range answer.Messages {
		puts.Go(func() { failures[n] = a.store(ctx, message) })
	}
	puts.Wait()
	var entries []types.DeleteMessageBatchRequestEntry
	for n, message := range answer.Messages {
		if failures[n] == nil {
			entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: message.MessageId, ReceiptHandle: message.ReceiptHandle})
		}
	}
	if len(entries) > 0 {
		_, err = a.sqs.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &a.queue, Entries: entries})
	}
	return errors.Join(append(failures, err)...)
}

func main() {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	ctx := context.Background()
	client := awshttp.NewBuildableClient().WithTransportOptions(func(transport *http.Transport) {
		transport.MaxIdleConns, transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost = 0, uploads+workers, uploads+workers
	})
	loaded, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client))
	if err != nil {
		log.Fatal(err)
	}
	a := &archiver{
		sqs:    sqs.NewFromConfig(loaded),
		s3:     s3.NewFromConfig(loaded, func(options *s3.Options) { options.UsePathStyle = true }),
		queue:  os.Getenv("SQS_QUEUE_URL"),
		bucket: os.Getenv("S3_BUCKET_NAME"),
		slots:  make(chan struct{}, uploads),
	}
	for range workers {
		go func() {
			for {
				if err := a.batch(ctx); err != nil {
					log.Print(err)
				}
			}
		}()
	}
	select {}
}
