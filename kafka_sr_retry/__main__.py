from kafka_sr_retry.cli import main

main()
