//! Services of Amazon's cloud, or of what speaks like them: Kinesis, SQS, DynamoDB.
