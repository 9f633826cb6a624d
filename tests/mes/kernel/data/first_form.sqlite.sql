BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE audit_head (
	id INTEGER NOT NULL, 
	sequence BIGINT NOT NULL, 
	hash VARCHAR NOT NULL, 
	CONSTRAINT pk_audit_head PRIMARY KEY (id), 
	CONSTRAINT ck_audit_head_single CHECK (id = 1)
);
INSERT INTO "audit_head" VALUES(1,144,'60bc8b3c570884618e136e64b940746153f5049b5c399038cb6712ec186e2d2c');
CREATE TABLE audit_record (
	sequence BIGINT NOT NULL, 
	utc_us BIGINT NOT NULL, 
	actor VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	entity_type VARCHAR NOT NULL, 
	entity_id VARCHAR NOT NULL, 
	entity_version INTEGER NOT NULL, 
	old VARCHAR NOT NULL, 
	new VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	correlation_id VARCHAR NOT NULL, 
	prev_hash VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	CONSTRAINT pk_audit_record PRIMARY KEY (sequence)
);
INSERT INTO "audit_record" VALUES(1,1773489600000000,'planner','part_definition.create','part_definition','TB-4711/C',1,'null','{"description":"Turbine blade, stage 1","fields":{"cage":"1A2B3","heat":""},"part_number":"TB-4711","revision":"C","routing":[{"kind":"mark","name":"Mark","required":true,"sequence":10,"sequential":false,"station":"mark"},{"kind":"inspect","name":"Inspect","required":true,"sequence":20,"sequential":false,"station":"inspect"}],"serial_pattern":"SN{year:02d}{n:06d}"}','','TB-4711/C','0000000000000000000000000000000000000000000000000000000000000000','d09c47d5c05e31c5f77976e64a55c766c116b0726d36c7fe6305aada0e145c47');
INSERT INTO "audit_record" VALUES(2,1773489600000000,'planner','part_definition.create','part_definition','TB-0000/',1,'null','{"description":"","fields":{},"part_number":"TB-0000","revision":"","routing":[],"serial_pattern":"X{n:04d}"}','','TB-0000/','d09c47d5c05e31c5f77976e64a55c766c116b0726d36c7fe6305aada0e145c47','bc03740d7c1a6511bfb1600e164ce918a8ead7da0823c162d8cd366eb5d034cb');
INSERT INTO "audit_record" VALUES(3,1773489600000000,'planner','part_definition.create','part_definition','TB-PREP/',1,'null','{"description":"","fields":{},"part_number":"TB-PREP","revision":"","routing":[{"kind":"manual","name":"Clean","required":true,"sequence":10,"sequential":false,"station":""},{"kind":"mark","name":"Mark","required":true,"sequence":20,"sequential":true,"station":""},{"kind":"manual","name":"Pack","required":true,"sequence":30,"sequential":false,"station":""}],"serial_pattern":"P{n:04d}"}','','TB-PREP/','bc03740d7c1a6511bfb1600e164ce918a8ead7da0823c162d8cd366eb5d034cb','b8b81dec626c7e5964060ee6648b263dd64ec9556e05497a4df4940c57cb5c53');
INSERT INTO "audit_record" VALUES(4,1773489600000000,'erp','work_order.create','work_order','WO-2026-000001',1,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"job_order_id":"JOB-READY","parameters":{"heat":"A;B''C"},"part_number":"TB-4711","part_version":1,"priority":0,"quantity":5,"quantity_counts":"attempted","revision":"C","serial_pattern":"SN{year:02d}{n:06d}","state":"CREATED"}','imported','JOB-READY','b8b81dec626c7e5964060ee6648b263dd64ec9556e05497a4df4940c57cb5c53','4a12f174076b6980e5d074eae71678f416244ed90995d728bdc86c1f3436fe55');
INSERT INTO "audit_record" VALUES(5,1773489600000000,'erp','work_order.release','work_order','WO-2026-000001',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-READY','4a12f174076b6980e5d074eae71678f416244ed90995d728bdc86c1f3436fe55','2ec12636e80198fc1a76ea5f26de1d73a78be816458edbdaf89c21203196b3f4');
INSERT INTO "audit_record" VALUES(6,1773489600000000,'erp','work_order.make_ready','work_order','WO-2026-000001',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-READY','2ec12636e80198fc1a76ea5f26de1d73a78be816458edbdaf89c21203196b3f4','fb4f9fbbf499887e56e62bdeab04fc9d4549f7b6cf6d95043266ab8ced7f6148');
INSERT INTO "audit_record" VALUES(7,1773489601000000,'erp','work_order.create','work_order','WO-2026-000002',1,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"job_order_id":"JOB-CANCEL","parameters":{"heat":"A;B''C"},"part_number":"TB-4711","part_version":1,"priority":1,"quantity":2,"quantity_counts":"attempted","revision":"C","serial_pattern":"SN{year:02d}{n:06d}","state":"CREATED"}','imported','JOB-CANCEL','fb4f9fbbf499887e56e62bdeab04fc9d4549f7b6cf6d95043266ab8ced7f6148','bb1cc0340daa827c8c0798e29b0e42fa5dbda4a34829ed5ba36adae7bbd3a854');
INSERT INTO "audit_record" VALUES(8,1773489601000000,'erp','work_order.release','work_order','WO-2026-000002',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-CANCEL','bb1cc0340daa827c8c0798e29b0e42fa5dbda4a34829ed5ba36adae7bbd3a854','ff75a8c92235dddf60ff68953b0f37310d6ae16ddf6cbace2555e193f2f42973');
INSERT INTO "audit_record" VALUES(9,1773489601000000,'erp','work_order.make_ready','work_order','WO-2026-000002',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-CANCEL','ff75a8c92235dddf60ff68953b0f37310d6ae16ddf6cbace2555e193f2f42973','ed9f924535b9cd97599342bb62eb39b2391f3053c5d7fce9fd3dd4a7e642f036');
INSERT INTO "audit_record" VALUES(10,1773489602000001,'erp','work_order.create','work_order','WO-2026-000003',1,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"job_order_id":"JOB-CANCELRUN","parameters":{"heat":"A;B''C"},"part_number":"TB-4711","part_version":1,"priority":2,"quantity":2,"quantity_counts":"attempted","revision":"C","serial_pattern":"SN{year:02d}{n:06d}","state":"CREATED"}','imported','JOB-CANCELRUN','ed9f924535b9cd97599342bb62eb39b2391f3053c5d7fce9fd3dd4a7e642f036','44279d507937da30716e74e72ba378fd7dda2c3c153daba4878c5f1d190dd4d7');
INSERT INTO "audit_record" VALUES(11,1773489602000001,'erp','work_order.release','work_order','WO-2026-000003',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-CANCELRUN','44279d507937da30716e74e72ba378fd7dda2c3c153daba4878c5f1d190dd4d7','2dce78d25eb7d76c708e58e2a54a5a715724dff6ca08f15840b9cce3b0406092');
INSERT INTO "audit_record" VALUES(12,1773489602000001,'erp','work_order.make_ready','work_order','WO-2026-000003',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-CANCELRUN','2dce78d25eb7d76c708e58e2a54a5a715724dff6ca08f15840b9cce3b0406092','14651ca237ad02ac19fd7844444e1947bdfd57b27b2905415a9bd74f3e86d8ba');
INSERT INTO "audit_record" VALUES(13,1773489603000002,'erp','work_order.create','work_order','WO-2026-000004',1,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"job_order_id":"JOB-SUSP","parameters":{"heat":"A;B''C"},"part_number":"TB-4711","part_version":1,"priority":3,"quantity":7,"quantity_counts":"attempted","revision":"C","serial_pattern":"SN{year:02d}{n:06d}","state":"CREATED"}','imported','JOB-SUSP','14651ca237ad02ac19fd7844444e1947bdfd57b27b2905415a9bd74f3e86d8ba','71a5c8407e740d89ffce2b89db13e1c4342f358bb43c90c3b5b934f9188aae99');
INSERT INTO "audit_record" VALUES(14,1773489603000002,'erp','work_order.release','work_order','WO-2026-000004',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-SUSP','71a5c8407e740d89ffce2b89db13e1c4342f358bb43c90c3b5b934f9188aae99','fbe8ecdd3801a9c88a7ef7f321cec388cc3447c2c9af121a38aeffc23d9321c7');
INSERT INTO "audit_record" VALUES(15,1773489603000002,'erp','work_order.make_ready','work_order','WO-2026-000004',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-SUSP','fbe8ecdd3801a9c88a7ef7f321cec388cc3447c2c9af121a38aeffc23d9321c7','65a9e0237fdd7fa61b09aefae2c4e8cbea077493aad23711c6c2d4f383642fd7');
INSERT INTO "audit_record" VALUES(16,1773489604000003,'erp','work_order.create','work_order','WO-2026-000005',1,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"job_order_id":"JOB-HELD","parameters":{"heat":"A;B''C"},"part_number":"TB-4711","part_version":1,"priority":4,"quantity":4,"quantity_counts":"attempted","revision":"C","serial_pattern":"SN{year:02d}{n:06d}","state":"CREATED"}','imported','JOB-HELD','65a9e0237fdd7fa61b09aefae2c4e8cbea077493aad23711c6c2d4f383642fd7','2d0e7705ee9e27b68c20cadbbf973a928ce6608b1235a103b70360843cd55c34');
INSERT INTO "audit_record" VALUES(17,1773489604000003,'erp','work_order.release','work_order','WO-2026-000005',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-HELD','2d0e7705ee9e27b68c20cadbbf973a928ce6608b1235a103b70360843cd55c34','ac6e79cfa3154587cc6e502abae3628587f5667691d5f8a8867392082330199f');
INSERT INTO "audit_record" VALUES(18,1773489604000003,'erp','work_order.make_ready','work_order','WO-2026-000005',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-HELD','ac6e79cfa3154587cc6e502abae3628587f5667691d5f8a8867392082330199f','e6fe946ec0cfbeb8c7236e81d2678f72d653e7b15f51d3d5e04f41414f43d916');
INSERT INTO "audit_record" VALUES(19,1773489605000004,'erp','work_order.create','work_order','WO-2026-000006',1,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"job_order_id":"JOB-DONE","parameters":{"heat":"A;B''C"},"part_number":"TB-4711","part_version":1,"priority":5,"quantity":2,"quantity_counts":"attempted","revision":"C","serial_pattern":"SN{year:02d}{n:06d}","state":"CREATED"}','imported','JOB-DONE','e6fe946ec0cfbeb8c7236e81d2678f72d653e7b15f51d3d5e04f41414f43d916','518614b067d048ea3b9c22602ae611e8fcb6ed7389d9d0c6e4a3984bd410501a');
INSERT INTO "audit_record" VALUES(20,1773489605000004,'erp','work_order.release','work_order','WO-2026-000006',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-DONE','518614b067d048ea3b9c22602ae611e8fcb6ed7389d9d0c6e4a3984bd410501a','226ef4a6cc654d5370928fc67b1564d1abf221a3e2eb9ef88fb3bdc0ff1b88d3');
INSERT INTO "audit_record" VALUES(21,1773489605000004,'erp','work_order.make_ready','work_order','WO-2026-000006',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-DONE','226ef4a6cc654d5370928fc67b1564d1abf221a3e2eb9ef88fb3bdc0ff1b88d3','383ee1b6eafd1fc38cdf3520e53b1cf3bdbe093fe828e3fbed471d34bfd253c6');
INSERT INTO "audit_record" VALUES(22,1773489606000005,'erp','work_order.create','work_order','WO-2026-000007',1,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"job_order_id":"JOB-CLOSED","parameters":{"heat":"A;B''C"},"part_number":"TB-4711","part_version":1,"priority":6,"quantity":1,"quantity_counts":"attempted","revision":"C","serial_pattern":"SN{year:02d}{n:06d}","state":"CREATED"}','imported','JOB-CLOSED','383ee1b6eafd1fc38cdf3520e53b1cf3bdbe093fe828e3fbed471d34bfd253c6','cd687c16330b1794734c2fc3c94f26397ba382501cbcada57cd664cb267e4278');
INSERT INTO "audit_record" VALUES(23,1773489606000005,'erp','work_order.release','work_order','WO-2026-000007',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-CLOSED','cd687c16330b1794734c2fc3c94f26397ba382501cbcada57cd664cb267e4278','05f443349f045d39165450ad745a8fe7b3d509b8b6a624d55b1f1690169f707a');
INSERT INTO "audit_record" VALUES(24,1773489606000005,'erp','work_order.make_ready','work_order','WO-2026-000007',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-CLOSED','05f443349f045d39165450ad745a8fe7b3d509b8b6a624d55b1f1690169f707a','a72562bae5f7374086dd00979e30c93cb6f963599ebf3e4c1d4dbf1cab40ee91');
INSERT INTO "audit_record" VALUES(25,1773489607000006,'erp','work_order.create','work_order','WO-2026-000008',1,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"job_order_id":"JOB-ABORT","parameters":{"heat":"A;B''C"},"part_number":"TB-4711","part_version":1,"priority":7,"quantity":3,"quantity_counts":"attempted","revision":"C","serial_pattern":"SN{year:02d}{n:06d}","state":"CREATED"}','imported','JOB-ABORT','a72562bae5f7374086dd00979e30c93cb6f963599ebf3e4c1d4dbf1cab40ee91','43cfa0a68081b5ea70f05ef0f7bbc9ddfdeabcc6b9931466ce3f0dac727d8ce8');
INSERT INTO "audit_record" VALUES(26,1773489607000006,'erp','work_order.release','work_order','WO-2026-000008',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-ABORT','43cfa0a68081b5ea70f05ef0f7bbc9ddfdeabcc6b9931466ce3f0dac727d8ce8','613c37f571c6f479f779c15196beb175c8d9cb3c5eb49da4987d48bc7eb98fe5');
INSERT INTO "audit_record" VALUES(27,1773489607000006,'erp','work_order.make_ready','work_order','WO-2026-000008',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-ABORT','613c37f571c6f479f779c15196beb175c8d9cb3c5eb49da4987d48bc7eb98fe5','b5e3ebf0331a79892a5cf6bc9fc194d233a3dd936a4201ad45c9d5018899dff0');
INSERT INTO "audit_record" VALUES(28,1773489608000007,'erp','work_order.create','work_order','WO-2026-000009',1,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"job_order_id":"JOB-STOP","parameters":{"heat":"A;B''C"},"part_number":"TB-4711","part_version":1,"priority":8,"quantity":3,"quantity_counts":"attempted","revision":"C","serial_pattern":"SN{year:02d}{n:06d}","state":"CREATED"}','imported','JOB-STOP','b5e3ebf0331a79892a5cf6bc9fc194d233a3dd936a4201ad45c9d5018899dff0','41471a2edaaabda4b70bcd2fdd51afa4b812f1f95b1ca8e24632083871a5e1a5');
INSERT INTO "audit_record" VALUES(29,1773489608000007,'erp','work_order.release','work_order','WO-2026-000009',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-STOP','41471a2edaaabda4b70bcd2fdd51afa4b812f1f95b1ca8e24632083871a5e1a5','fb5c989b1f9dab4cde3c6487482e07548a8003aefdb0889d140d0f7ea87e24f6');
INSERT INTO "audit_record" VALUES(30,1773489608000007,'erp','work_order.make_ready','work_order','WO-2026-000009',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-STOP','fb5c989b1f9dab4cde3c6487482e07548a8003aefdb0889d140d0f7ea87e24f6','2838b9fdb98c175a72db0146acf14737e74318cab76c3b5e745c641627e7b7ac');
INSERT INTO "audit_record" VALUES(31,1773489609000008,'erp','work_order.create','work_order','WO-2026-000010',1,'null','{"fields":{"cage":"1A2B3","heat":"H9"},"job_order_id":"JOB-RUN","parameters":{"heat":"H9","quantity_counts":"good"},"part_number":"TB-4711","part_version":1,"priority":9,"quantity":9,"quantity_counts":"good","revision":"C","serial_pattern":"SN{year:02d}{n:06d}","state":"CREATED"}','imported','JOB-RUN','2838b9fdb98c175a72db0146acf14737e74318cab76c3b5e745c641627e7b7ac','0f2137749be1481f59c05edd8f297610c0a2f8fd2d219b9c64366d100a454b2c');
INSERT INTO "audit_record" VALUES(32,1773489609000008,'erp','work_order.release','work_order','WO-2026-000010',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-RUN','0f2137749be1481f59c05edd8f297610c0a2f8fd2d219b9c64366d100a454b2c','8af85f054d4f7a9f9efdff8222e4f13328764854974c9a0dc4441ea75bd81098');
INSERT INTO "audit_record" VALUES(33,1773489609000008,'erp','work_order.make_ready','work_order','WO-2026-000010',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-RUN','8af85f054d4f7a9f9efdff8222e4f13328764854974c9a0dc4441ea75bd81098','07b55d0e441f0a6c1506118aee6d6dddfa45ac1caef375712bea5229a0859398');
INSERT INTO "audit_record" VALUES(34,1773489610000009,'meier','work_order.cancel','work_order','WO-2026-000002',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"CANCELLED"}','cancel it','JOB-CANCEL','07b55d0e441f0a6c1506118aee6d6dddfa45ac1caef375712bea5229a0859398','df21e1d6f3f3876e5750f52fec1d7f1dd5d17b92a2b09c4cc44d4086b50afc2e');
INSERT INTO "audit_record" VALUES(35,1773489610000009,'meier','work_order.start','work_order','WO-2026-000003',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"RUNNING"}','start it','JOB-CANCELRUN','df21e1d6f3f3876e5750f52fec1d7f1dd5d17b92a2b09c4cc44d4086b50afc2e','285a737efb7ca772a835021c1cd60fdd8b0101130b2848376ecba9646a8e0121');
INSERT INTO "audit_record" VALUES(36,1773489610000009,'meier','work_order.cancel','work_order','WO-2026-000003',5,'{"state":"RUNNING"}','{"good":0,"rejected":0,"state":"CANCELLED"}','cancel it','JOB-CANCELRUN','285a737efb7ca772a835021c1cd60fdd8b0101130b2848376ecba9646a8e0121','a63f023421598ff013cc56e413d2747889f1c6022cbc3f385753b083782b4df7');
INSERT INTO "audit_record" VALUES(37,1773489610000009,'meier','work_order.start','work_order','WO-2026-000006',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"RUNNING"}','start it','JOB-DONE','a63f023421598ff013cc56e413d2747889f1c6022cbc3f385753b083782b4df7','d6c05ff41f9b7d27224a1412f581937392bf6d6579c0d69245c7e2dc93e842d8');
INSERT INTO "audit_record" VALUES(38,1773489610250009,'mark','event.part_arrived','unit','JOB-DONE-0',0,'null','{"cycle":0,"part_id":"JOB-DONE-0","task":"mark","utc_ns":1773489610250009990}','','JOB-DONE-0','d6c05ff41f9b7d27224a1412f581937392bf6d6579c0d69245c7e2dc93e842d8','9824cbe03bf8ef51ce1beb3e37d3f1b1458c0f3f5d0c99f78a95a7343625bd7e');
INSERT INTO "audit_record" VALUES(39,1773489610500009,'mark','serial.reserve','serial','SN26000001',0,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"order":"WO-2026-000006","part_id":"JOB-DONE-0","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','JOB-DONE-0','9824cbe03bf8ef51ce1beb3e37d3f1b1458c0f3f5d0c99f78a95a7343625bd7e','fbc73ddfb444e605173b665fba8cc2e600b0508e882dca6810e73548c3841669');
INSERT INTO "audit_record" VALUES(40,1773489610750009,'mark','event.serial_assigned','serial','SN26000001',0,'null','{"cycle":0,"fields":{},"order":"WO-2026-000006","part_id":"JOB-DONE-0","part_number":"TB-4711","revision":"","serial":"SN26000001","station":"mark","task":"mark","utc_ns":1773489610750009990}','','JOB-DONE-0','fbc73ddfb444e605173b665fba8cc2e600b0508e882dca6810e73548c3841669','8f9e3e5708ea17bca869bc7ed0e9ab2dea606e4572973f5801a5a519d408811c');
INSERT INTO "audit_record" VALUES(41,1773489611000009,'mark','event.mark_authorised','serial','SN26000001',0,'null','{"content":"SN26000001","cycle":0,"device":"peen","part_id":"JOB-DONE-0","serial":"SN26000001","station":"mark","task":"mark","template":"t.lua","utc_ns":1773489611000009990}','','JOB-DONE-0','8f9e3e5708ea17bca869bc7ed0e9ab2dea606e4572973f5801a5a519d408811c','48d8c7875846836e988e708ef5964aea5214a902943caee2a23d924b3069000c');
INSERT INTO "audit_record" VALUES(42,1773489611250009,'mark','event.mark_completed','serial','SN26000001',0,'null','{"cycle":0,"detail":"","duration_ms":80.0,"outcome":"acknowledged","part_id":"JOB-DONE-0","serial":"SN26000001","station":"mark","task":"mark","utc_ns":1773489611250009990}','','JOB-DONE-0','48d8c7875846836e988e708ef5964aea5214a902943caee2a23d924b3069000c','78ba8995a80e52176fe05ef9cf4ad4221833642d9b77c50b33223dde7587c146');
INSERT INTO "audit_record" VALUES(43,1773489611500009,'mark','event.inspection_completed','unit','JOB-DONE-0',0,'null','{"cycle":0,"duration_ms":0.0,"expected":"SN26000001","frame":0,"module_errors":null,"part_id":"JOB-DONE-0","read":"SN26000001","reason":"","serial":"SN26000001","station":"inspect","task":"mark","unused_error_correction":0.75,"utc_ns":1773489611500009990,"verdict":"ok"}','','JOB-DONE-0','78ba8995a80e52176fe05ef9cf4ad4221833642d9b77c50b33223dde7587c146','c4ff44f14e89cd47bac6931a6bba9443062b6c1e0f90372b08942632d195c687');
INSERT INTO "audit_record" VALUES(44,1773489611750009,'mark','event.part_released','unit','JOB-DONE-0',0,'null','{"cycle":0,"part_id":"JOB-DONE-0","reason":"","recovered":false,"serial":"SN26000001","task":"mark","utc_ns":1773489611750009990,"verdict":"good"}','','JOB-DONE-0','c4ff44f14e89cd47bac6931a6bba9443062b6c1e0f90372b08942632d195c687','5a3be0021f07cdd7e88b67d961f20b03abf33aeab6b04e2c2a68153ba1d8249c');
INSERT INTO "audit_record" VALUES(45,1773489612000009,'mark','event.part_arrived','unit','JOB-DONE-1',0,'null','{"cycle":0,"part_id":"JOB-DONE-1","task":"mark","utc_ns":1773489612000009990}','','JOB-DONE-1','5a3be0021f07cdd7e88b67d961f20b03abf33aeab6b04e2c2a68153ba1d8249c','497bff03a554d343b11659a1db70e919924675453875d56505cf36ba417d2ea7');
INSERT INTO "audit_record" VALUES(46,1773489612250009,'mark','serial.reserve','serial','SN26000002',0,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"order":"WO-2026-000006","part_id":"JOB-DONE-1","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','JOB-DONE-1','497bff03a554d343b11659a1db70e919924675453875d56505cf36ba417d2ea7','4087ecb6bf6ad3772e68f4347ba9cffd3618de4c42019a6f1c036cb233398d61');
INSERT INTO "audit_record" VALUES(47,1773489612500009,'mark','event.serial_assigned','serial','SN26000002',0,'null','{"cycle":0,"fields":{},"order":"WO-2026-000006","part_id":"JOB-DONE-1","part_number":"TB-4711","revision":"","serial":"SN26000002","station":"mark","task":"mark","utc_ns":1773489612500009990}','','JOB-DONE-1','4087ecb6bf6ad3772e68f4347ba9cffd3618de4c42019a6f1c036cb233398d61','75ad0ea20c6ff2192f0f65c7f777209a67056dfa3ef04e2db65ef9bbb3f85a79');
INSERT INTO "audit_record" VALUES(48,1773489612750009,'mark','event.mark_authorised','serial','SN26000002',0,'null','{"content":"SN26000002","cycle":0,"device":"peen","part_id":"JOB-DONE-1","serial":"SN26000002","station":"mark","task":"mark","template":"t.lua","utc_ns":1773489612750009990}','','JOB-DONE-1','75ad0ea20c6ff2192f0f65c7f777209a67056dfa3ef04e2db65ef9bbb3f85a79','03c1b9e758d0dbb3deccf7d73c1013cf9cd24e4e1cd2a9214ffe2cf1ef50f9eb');
INSERT INTO "audit_record" VALUES(49,1773489613000009,'mark','event.mark_completed','serial','SN26000002',0,'null','{"cycle":0,"detail":"","duration_ms":80.0,"outcome":"acknowledged","part_id":"JOB-DONE-1","serial":"SN26000002","station":"mark","task":"mark","utc_ns":1773489613000009990}','','JOB-DONE-1','03c1b9e758d0dbb3deccf7d73c1013cf9cd24e4e1cd2a9214ffe2cf1ef50f9eb','00211486c0ceb1c386e7e5b4e9d9c8073674b727c170e30405d377cf4153651c');
INSERT INTO "audit_record" VALUES(50,1773489613250009,'mark','event.inspection_completed','unit','JOB-DONE-1',0,'null','{"cycle":0,"duration_ms":0.0,"expected":"SN26000002","frame":0,"module_errors":null,"part_id":"JOB-DONE-1","read":"SN26000002","reason":"","serial":"SN26000002","station":"inspect","task":"mark","unused_error_correction":0.75,"utc_ns":1773489613250009990,"verdict":"ok"}','','JOB-DONE-1','00211486c0ceb1c386e7e5b4e9d9c8073674b727c170e30405d377cf4153651c','6887997534672fc0dbe62f984b6e7e710e3786589ccdc28c0b90e9624ae81d71');
INSERT INTO "audit_record" VALUES(51,1773489613500009,'mark','event.part_released','unit','JOB-DONE-1',0,'null','{"cycle":0,"part_id":"JOB-DONE-1","reason":"","recovered":false,"serial":"SN26000002","task":"mark","utc_ns":1773489613500009990,"verdict":"good"}','','JOB-DONE-1','6887997534672fc0dbe62f984b6e7e710e3786589ccdc28c0b90e9624ae81d71','beeeab35686825ab2307f8e425b136dc7d03e237908aeca99703209f64836a25');
INSERT INTO "audit_record" VALUES(52,1773489613500009,'mes','work_order.complete','work_order','WO-2026-000006',5,'{"state":"RUNNING"}','{"good":2,"rejected":0,"state":"COMPLETED"}','all 2 parts are released','JOB-DONE','beeeab35686825ab2307f8e425b136dc7d03e237908aeca99703209f64836a25','41a13a9c4c83ca21200c51d7667c496c341436c0ffd226efd5b2d5040a10ee00');
INSERT INTO "audit_record" VALUES(53,1773489613500009,'meier','work_order.start','work_order','WO-2026-000007',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"RUNNING"}','start it','JOB-CLOSED','41a13a9c4c83ca21200c51d7667c496c341436c0ffd226efd5b2d5040a10ee00','3e58bcca95ea39f4de7847db7c3663b7c18d8728f9fa878d8e2f3ce2550e03b5');
INSERT INTO "audit_record" VALUES(54,1773489613750009,'mark','event.part_arrived','unit','JOB-CLOSED-0',0,'null','{"cycle":0,"part_id":"JOB-CLOSED-0","task":"mark","utc_ns":1773489613750009990}','','JOB-CLOSED-0','3e58bcca95ea39f4de7847db7c3663b7c18d8728f9fa878d8e2f3ce2550e03b5','34a7676f0b9964476fafe7d87d65fdcba38e3413fceaa28a28f0feafde282d72');
INSERT INTO "audit_record" VALUES(55,1773489614000009,'mark','serial.reserve','serial','SN26000003',0,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"order":"WO-2026-000007","part_id":"JOB-CLOSED-0","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','JOB-CLOSED-0','34a7676f0b9964476fafe7d87d65fdcba38e3413fceaa28a28f0feafde282d72','b6638893f63461e23c613a53496ad00bfcd92bb98950f222bcfdbb1df2c29521');
INSERT INTO "audit_record" VALUES(56,1773489614250009,'mark','event.serial_assigned','serial','SN26000003',0,'null','{"cycle":0,"fields":{},"order":"WO-2026-000007","part_id":"JOB-CLOSED-0","part_number":"TB-4711","revision":"","serial":"SN26000003","station":"mark","task":"mark","utc_ns":1773489614250009990}','','JOB-CLOSED-0','b6638893f63461e23c613a53496ad00bfcd92bb98950f222bcfdbb1df2c29521','13cb3ede39be469d829ff597c52c9368ec095ea83d91b2890ded0ae34112d46f');
INSERT INTO "audit_record" VALUES(57,1773489614500009,'mark','event.mark_authorised','serial','SN26000003',0,'null','{"content":"SN26000003","cycle":0,"device":"peen","part_id":"JOB-CLOSED-0","serial":"SN26000003","station":"mark","task":"mark","template":"t.lua","utc_ns":1773489614500009990}','','JOB-CLOSED-0','13cb3ede39be469d829ff597c52c9368ec095ea83d91b2890ded0ae34112d46f','ab6ae130e9c86957d567d784d0e7173b827ff458e72847f5da9ba39095d60ead');
INSERT INTO "audit_record" VALUES(58,1773489614750009,'mark','event.mark_completed','serial','SN26000003',0,'null','{"cycle":0,"detail":"","duration_ms":80.0,"outcome":"acknowledged","part_id":"JOB-CLOSED-0","serial":"SN26000003","station":"mark","task":"mark","utc_ns":1773489614750009990}','','JOB-CLOSED-0','ab6ae130e9c86957d567d784d0e7173b827ff458e72847f5da9ba39095d60ead','5b1f53b5ffd73b08f76d54b30b06f147c5ea2f7152f331dda2284965cec3e85e');
INSERT INTO "audit_record" VALUES(59,1773489615000009,'mark','event.inspection_completed','unit','JOB-CLOSED-0',0,'null','{"cycle":0,"duration_ms":0.0,"expected":"SN26000003","frame":0,"module_errors":null,"part_id":"JOB-CLOSED-0","read":"SN26000003","reason":"","serial":"SN26000003","station":"inspect","task":"mark","unused_error_correction":0.75,"utc_ns":1773489615000009990,"verdict":"ok"}','','JOB-CLOSED-0','5b1f53b5ffd73b08f76d54b30b06f147c5ea2f7152f331dda2284965cec3e85e','592d24371676dcc050327842c3d26f7fab0d9017e590446d6326a9d00e2e7b6e');
INSERT INTO "audit_record" VALUES(60,1773489615250009,'mark','event.part_released','unit','JOB-CLOSED-0',0,'null','{"cycle":0,"part_id":"JOB-CLOSED-0","reason":"","recovered":false,"serial":"SN26000003","task":"mark","utc_ns":1773489615250009990,"verdict":"good"}','','JOB-CLOSED-0','592d24371676dcc050327842c3d26f7fab0d9017e590446d6326a9d00e2e7b6e','ee9fdba749f8e7e3a19802152da1084ba946d8ee9ff4f00fc8b01f120086b0b3');
INSERT INTO "audit_record" VALUES(61,1773489615250009,'mes','work_order.complete','work_order','WO-2026-000007',5,'{"state":"RUNNING"}','{"good":1,"rejected":0,"state":"COMPLETED"}','all 1 parts are released','JOB-CLOSED','ee9fdba749f8e7e3a19802152da1084ba946d8ee9ff4f00fc8b01f120086b0b3','67ae5135452e19204a36126599d938372f547ad7b98ee3d36677cbb14b4f41bc');
INSERT INTO "audit_record" VALUES(62,1773489615250009,'meier','work_order.close','work_order','WO-2026-000007',6,'{"state":"COMPLETED"}','{"good":1,"rejected":0,"state":"CLOSED"}','close it','JOB-CLOSED','67ae5135452e19204a36126599d938372f547ad7b98ee3d36677cbb14b4f41bc','c1083316ed160d093931363b28e60a1242f80c5a6274d7d6719cdbc14bdb5115');
INSERT INTO "audit_record" VALUES(63,1773489615250009,'meier','work_order.start','work_order','WO-2026-000008',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"RUNNING"}','start it','JOB-ABORT','c1083316ed160d093931363b28e60a1242f80c5a6274d7d6719cdbc14bdb5115','aceb7602b7e4aefc3acf56e899de438103079db71b9cd54eb22a4095ad283f63');
INSERT INTO "audit_record" VALUES(64,1773489615500009,'mark','event.part_arrived','unit','ab-1',0,'null','{"cycle":0,"part_id":"ab-1","task":"mark","utc_ns":1773489615500009990}','','ab-1','aceb7602b7e4aefc3acf56e899de438103079db71b9cd54eb22a4095ad283f63','3ce4b2edd8f525201d06670b9939eca401c91c4ab21ce1bfeb8f69d56d0d5f2c');
INSERT INTO "audit_record" VALUES(65,1773489615750009,'mark','serial.reserve','serial','SN26000004',0,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"order":"WO-2026-000008","part_id":"ab-1","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','ab-1','3ce4b2edd8f525201d06670b9939eca401c91c4ab21ce1bfeb8f69d56d0d5f2c','4d2422e7632053a0d8026d3b103778b406352020f6111b9c360683c1a2d10ed8');
INSERT INTO "audit_record" VALUES(66,1773489616000009,'mark','event.serial_assigned','serial','SN26000004',0,'null','{"cycle":0,"fields":{},"order":"WO-2026-000008","part_id":"ab-1","part_number":"TB-4711","revision":"","serial":"SN26000004","station":"mark","task":"mark","utc_ns":1773489616000009990}','','ab-1','4d2422e7632053a0d8026d3b103778b406352020f6111b9c360683c1a2d10ed8','bd2e1d52a1c1c368d2d10f2bd53b87652190fc4febfb7e7e9cccea03acc367d7');
INSERT INTO "audit_record" VALUES(67,1773489616250009,'mark','event.mark_authorised','serial','SN26000004',0,'null','{"content":"SN26000004","cycle":0,"device":"peen","part_id":"ab-1","serial":"SN26000004","station":"mark","task":"mark","template":"t.lua","utc_ns":1773489616250009990}','','ab-1','bd2e1d52a1c1c368d2d10f2bd53b87652190fc4febfb7e7e9cccea03acc367d7','33806d17135da57683369136696c1d3abe92dd32a5a263f3decfc6882667e3c1');
INSERT INTO "audit_record" VALUES(68,1773489616500009,'mark','event.mark_completed','serial','SN26000004',0,'null','{"cycle":0,"detail":"","duration_ms":80.0,"outcome":"acknowledged","part_id":"ab-1","serial":"SN26000004","station":"mark","task":"mark","utc_ns":1773489616500009990}','','ab-1','33806d17135da57683369136696c1d3abe92dd32a5a263f3decfc6882667e3c1','6e7d9f98c3b7213c027889cd100f00f55219b1ee04b4537d07b38b674dbb0a3b');
INSERT INTO "audit_record" VALUES(69,1773489616750009,'mark','event.inspection_completed','unit','ab-1',0,'null','{"cycle":0,"duration_ms":0.0,"expected":"SN26000004","frame":0,"module_errors":null,"part_id":"ab-1","read":"","reason":"","serial":"SN26000004","station":"inspect","task":"mark","unused_error_correction":0.75,"utc_ns":1773489616750009990,"verdict":"not_ok"}','','ab-1','6e7d9f98c3b7213c027889cd100f00f55219b1ee04b4537d07b38b674dbb0a3b','408c098bca2951fbff3ef9f020b2e29bba6bb081d4e44a79b1c0ceb3c302c427');
INSERT INTO "audit_record" VALUES(70,1773489617000009,'mark','event.part_released','unit','ab-1',0,'null','{"cycle":0,"part_id":"ab-1","reason":"","recovered":false,"serial":"SN26000004","task":"mark","utc_ns":1773489617000009990,"verdict":"rejected"}','','ab-1','408c098bca2951fbff3ef9f020b2e29bba6bb081d4e44a79b1c0ceb3c302c427','a9b1b1b087df902f3807b774a8a26b5fba9fde624bad45822a3e383761a0331d');
INSERT INTO "audit_record" VALUES(71,1773489617000009,'meier','work_order.abort','work_order','WO-2026-000008',5,'{"state":"RUNNING"}','{"good":0,"rejected":1,"state":"ABORTED"}','abort it','JOB-ABORT','a9b1b1b087df902f3807b774a8a26b5fba9fde624bad45822a3e383761a0331d','f2a3b1556e6a0d1ca12fd2ce51398191a560aa3616fdfb44a8a003a9424a6bea');
INSERT INTO "audit_record" VALUES(72,1773489617000009,'meier','work_order.start','work_order','WO-2026-000009',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"RUNNING"}','start it','JOB-STOP','f2a3b1556e6a0d1ca12fd2ce51398191a560aa3616fdfb44a8a003a9424a6bea','cd5c756ea213776d8e174e1d289b11715c10ad8c7ddae1be896fac8377a8f3b0');
INSERT INTO "audit_record" VALUES(73,1773489617250009,'mark','event.part_arrived','unit','st-1',0,'null','{"cycle":0,"part_id":"st-1","task":"mark","utc_ns":1773489617250009990}','','st-1','cd5c756ea213776d8e174e1d289b11715c10ad8c7ddae1be896fac8377a8f3b0','0f0127ebc9ac959d5951c8ed8a51cede43383b6c7d43d3469f28262f0ed25ff3');
INSERT INTO "audit_record" VALUES(74,1773489617500009,'mark','serial.reserve','serial','SN26000005',0,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"order":"WO-2026-000009","part_id":"st-1","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','st-1','0f0127ebc9ac959d5951c8ed8a51cede43383b6c7d43d3469f28262f0ed25ff3','6e1f5948ece6a7d7d223d0aaa67bfb64d03e027a52c03cfa3f837cd4da31e7b5');
INSERT INTO "audit_record" VALUES(75,1773489617750009,'mark','event.serial_assigned','serial','SN26000005',0,'null','{"cycle":0,"fields":{},"order":"WO-2026-000009","part_id":"st-1","part_number":"TB-4711","revision":"","serial":"SN26000005","station":"mark","task":"mark","utc_ns":1773489617750009990}','','st-1','6e1f5948ece6a7d7d223d0aaa67bfb64d03e027a52c03cfa3f837cd4da31e7b5','763abce7b16782fe6c3f26f13d7b5ae61b351113b5c06992e64e228dad029d03');
INSERT INTO "audit_record" VALUES(76,1773489618000009,'mark','event.mark_authorised','serial','SN26000005',0,'null','{"content":"SN26000005","cycle":0,"device":"peen","part_id":"st-1","serial":"SN26000005","station":"mark","task":"mark","template":"t.lua","utc_ns":1773489618000009990}','','st-1','763abce7b16782fe6c3f26f13d7b5ae61b351113b5c06992e64e228dad029d03','52da5814d5a41399ebeb28a5006f79df13d939a6f9b55570811a96a26e759913');
INSERT INTO "audit_record" VALUES(77,1773489618250009,'mark','event.mark_completed','serial','SN26000005',0,'null','{"cycle":0,"detail":"","duration_ms":80.0,"outcome":"acknowledged","part_id":"st-1","serial":"SN26000005","station":"mark","task":"mark","utc_ns":1773489618250009990}','','st-1','52da5814d5a41399ebeb28a5006f79df13d939a6f9b55570811a96a26e759913','59ec2e375d562fb183be49781dcebcb752fac59cc61169767e37b170d8660e05');
INSERT INTO "audit_record" VALUES(78,1773489618500009,'mark','event.inspection_completed','unit','st-1',0,'null','{"cycle":0,"duration_ms":0.0,"expected":"SN26000005","frame":0,"module_errors":null,"part_id":"st-1","read":"SN26000005","reason":"","serial":"SN26000005","station":"inspect","task":"mark","unused_error_correction":0.75,"utc_ns":1773489618500009990,"verdict":"ok"}','','st-1','59ec2e375d562fb183be49781dcebcb752fac59cc61169767e37b170d8660e05','763ca7a9fdb7616b5fca1fb465ba4795f082dcc2cad491b19d61b17eb07880eb');
INSERT INTO "audit_record" VALUES(79,1773489618750009,'mark','event.part_released','unit','st-1',0,'null','{"cycle":0,"part_id":"st-1","reason":"","recovered":false,"serial":"SN26000005","task":"mark","utc_ns":1773489618750009990,"verdict":"good"}','','st-1','763ca7a9fdb7616b5fca1fb465ba4795f082dcc2cad491b19d61b17eb07880eb','1dbcfcc5c19d124f7b5fb2b1dfff15bb3cd354c24969f7801fadb9cc770d462a');
INSERT INTO "audit_record" VALUES(80,1773489618750009,'meier','work_order.stop','work_order','WO-2026-000009',5,'{"state":"RUNNING"}','{"good":1,"rejected":0,"state":"COMPLETED"}','stop it','JOB-STOP','1dbcfcc5c19d124f7b5fb2b1dfff15bb3cd354c24969f7801fadb9cc770d462a','13e91b99cbf27f87941115e8d049dc0e476cf49c191b5d87615a0e0fbb8df366');
INSERT INTO "audit_record" VALUES(81,1773489618750009,'meier','work_order.start','work_order','WO-2026-000004',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"RUNNING"}','start it','JOB-SUSP','13e91b99cbf27f87941115e8d049dc0e476cf49c191b5d87615a0e0fbb8df366','94ae103a53a5466956636408710a8fc46eca33b7d91fde5ee8cfe12f4fb33851');
INSERT INTO "audit_record" VALUES(82,1773489619000009,'mark','event.part_arrived','unit','su-1',0,'null','{"cycle":0,"part_id":"su-1","task":"mark","utc_ns":1773489619000009990}','','su-1','94ae103a53a5466956636408710a8fc46eca33b7d91fde5ee8cfe12f4fb33851','659af457af520a6044431e6beba45565b2f18c55fb3812074e0c1c67c40b5a06');
INSERT INTO "audit_record" VALUES(83,1773489619250009,'mark','serial.reserve','serial','SN26000006',0,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"order":"WO-2026-000004","part_id":"su-1","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','su-1','659af457af520a6044431e6beba45565b2f18c55fb3812074e0c1c67c40b5a06','5c9e79c799542975e4ab85203bfc6baea7ff37766b9789eb963f1aa64cdc75a9');
INSERT INTO "audit_record" VALUES(84,1773489619500009,'mark','event.serial_assigned','serial','SN26000006',0,'null','{"cycle":0,"fields":{},"order":"WO-2026-000004","part_id":"su-1","part_number":"TB-4711","revision":"","serial":"SN26000006","station":"mark","task":"mark","utc_ns":1773489619500009990}','','su-1','5c9e79c799542975e4ab85203bfc6baea7ff37766b9789eb963f1aa64cdc75a9','80f89317b0812bbb7672ccf7277866553cf7637e5c62d59bd365a7bac412121c');
INSERT INTO "audit_record" VALUES(85,1773489619750009,'mark','event.mark_authorised','serial','SN26000006',0,'null','{"content":"SN26000006","cycle":0,"device":"peen","part_id":"su-1","serial":"SN26000006","station":"mark","task":"mark","template":"t.lua","utc_ns":1773489619750009990}','','su-1','80f89317b0812bbb7672ccf7277866553cf7637e5c62d59bd365a7bac412121c','eeafd491460854b805544b560e0afb52fa61925e9a5cbe760dd1f1d11bf5d79c');
INSERT INTO "audit_record" VALUES(86,1773489620000009,'mark','event.mark_completed','serial','SN26000006',0,'null','{"cycle":0,"detail":"","duration_ms":80.0,"outcome":"acknowledged","part_id":"su-1","serial":"SN26000006","station":"mark","task":"mark","utc_ns":1773489620000009990}','','su-1','eeafd491460854b805544b560e0afb52fa61925e9a5cbe760dd1f1d11bf5d79c','9d7580baaf953d04fa1d3ec5cf3b148a48bf02b18364b47ce6bae5418f5eca9d');
INSERT INTO "audit_record" VALUES(87,1773489620250009,'mark','event.inspection_completed','unit','su-1',0,'null','{"cycle":0,"duration_ms":0.0,"expected":"SN26000006","frame":0,"module_errors":null,"part_id":"su-1","read":"SN26000006","reason":"","serial":"SN26000006","station":"inspect","task":"mark","unused_error_correction":0.75,"utc_ns":1773489620250009990,"verdict":"ok"}','','su-1','9d7580baaf953d04fa1d3ec5cf3b148a48bf02b18364b47ce6bae5418f5eca9d','f81d4bacb3aacb9a20e8b263ef7faae476f5d594e917e82a9675c42bdd18c2de');
INSERT INTO "audit_record" VALUES(88,1773489620500009,'mark','event.part_released','unit','su-1',0,'null','{"cycle":0,"part_id":"su-1","reason":"","recovered":false,"serial":"SN26000006","task":"mark","utc_ns":1773489620500009990,"verdict":"good"}','','su-1','f81d4bacb3aacb9a20e8b263ef7faae476f5d594e917e82a9675c42bdd18c2de','4243144cbea8f51691bd131c1c45480f471e7e9ab24dc3c0bcbdfc894e5d3ff9');
INSERT INTO "audit_record" VALUES(89,1773489620500009,'meier','work_order.suspend','work_order','WO-2026-000004',5,'{"state":"RUNNING"}','{"good":1,"rejected":0,"state":"SUSPENDED"}','suspend it','JOB-SUSP','4243144cbea8f51691bd131c1c45480f471e7e9ab24dc3c0bcbdfc894e5d3ff9','61658b9786f030946dac3e4b2529228e34c0282651fa3476f5ca6b7730d7f7e5');
INSERT INTO "audit_record" VALUES(90,1773489620500009,'meier','work_order.start','work_order','WO-2026-000005',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"RUNNING"}','start it','JOB-HELD','61658b9786f030946dac3e4b2529228e34c0282651fa3476f5ca6b7730d7f7e5','2345db0573eab9fef7e0a14b77b4dfc05db5edb627ef560b2bd9d24ad9fe73e8');
INSERT INTO "audit_record" VALUES(91,1773489620750009,'mark','event.part_arrived','unit','he-1',0,'null','{"cycle":0,"part_id":"he-1","task":"mark","utc_ns":1773489620750009990}','','he-1','2345db0573eab9fef7e0a14b77b4dfc05db5edb627ef560b2bd9d24ad9fe73e8','05b14b1f2f59de204cffb0a566ae51bb4c107aeea98ffeb9ddb85d8e7b6c65bc');
INSERT INTO "audit_record" VALUES(92,1773489621000009,'mark','serial.reserve','serial','SN26000007',0,'null','{"fields":{"cage":"1A2B3","heat":"A;B''C"},"order":"WO-2026-000005","part_id":"he-1","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','he-1','05b14b1f2f59de204cffb0a566ae51bb4c107aeea98ffeb9ddb85d8e7b6c65bc','eb599ace78ee343d568621351f9a248dac3b4160f89fc7493c7ae5528122fa16');
INSERT INTO "audit_record" VALUES(93,1773489621000009,'meier','work_order.pause','work_order','WO-2026-000005',5,'{"state":"RUNNING"}','{"good":0,"rejected":0,"state":"HELD"}','pause it','JOB-HELD','eb599ace78ee343d568621351f9a248dac3b4160f89fc7493c7ae5528122fa16','2e644bccd217522194ed0c96fad8db3258ac5c842337ce631e3e7d225392e881');
INSERT INTO "audit_record" VALUES(94,1773489621250009,'mark','event.part_arrived','unit','nobody-1',0,'null','{"cycle":0,"part_id":"nobody-1","task":"mark","utc_ns":1773489621250009990}','','nobody-1','2e644bccd217522194ed0c96fad8db3258ac5c842337ce631e3e7d225392e881','03c83166847c239c6723bb504c3685e3677280269bb9e29740b14df977434f29');
INSERT INTO "audit_record" VALUES(95,1773489621500009,'mark','serial.refuse','unit','nobody-1',0,'null','{"station":"mark"}','no work order is running, WO-2026-000004 is interrupted; resume it','nobody-1','03c83166847c239c6723bb504c3685e3677280269bb9e29740b14df977434f29','a9d4223b90e7f902060b4366a4154496adb7fa21e321c1d4728d0fef4144ea9e');
INSERT INTO "audit_record" VALUES(96,1773489621750009,'mark','event.part_released','unit','nobody-1',0,'null','{"cycle":0,"part_id":"nobody-1","reason":"no serial","recovered":false,"serial":"","task":"mark","utc_ns":1773489621750009990,"verdict":"rejected"}','no serial','nobody-1','a9d4223b90e7f902060b4366a4154496adb7fa21e321c1d4728d0fef4144ea9e','636c6aa58b041d3c3b5a7abf97e171ca0f29bd1efc5ae452bc04a758e13ee5b3');
INSERT INTO "audit_record" VALUES(97,1773489621750009,'meier','work_order.start','work_order','WO-2026-000010',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"RUNNING"}','start it','JOB-RUN','636c6aa58b041d3c3b5a7abf97e171ca0f29bd1efc5ae452bc04a758e13ee5b3','729de71aca13dbe0f651039b5d6f5ce0edab0a8da56f7b81a7beb242c1c58d29');
INSERT INTO "audit_record" VALUES(98,1773489622000009,'mark','event.part_arrived','unit','ru-1',0,'null','{"cycle":0,"part_id":"ru-1","task":"mark","utc_ns":1773489622000009990}','','ru-1','729de71aca13dbe0f651039b5d6f5ce0edab0a8da56f7b81a7beb242c1c58d29','6a0ef2927fcd03d6f144083ec60952c716cdfcc5c07995dd3a3508c68bdb457f');
INSERT INTO "audit_record" VALUES(99,1773489622250009,'mark','serial.reserve','serial','SN26000008',0,'null','{"fields":{"cage":"1A2B3","heat":"H9"},"order":"WO-2026-000010","part_id":"ru-1","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','ru-1','6a0ef2927fcd03d6f144083ec60952c716cdfcc5c07995dd3a3508c68bdb457f','1d0603d0cc0f5c0a13f4e9f378ecf7056627b288d7c38f0beaf2e4269e52b580');
INSERT INTO "audit_record" VALUES(100,1773489622500009,'mark','event.serial_assigned','serial','SN26000008',0,'null','{"cycle":0,"fields":{},"order":"WO-2026-000010","part_id":"ru-1","part_number":"TB-4711","revision":"","serial":"SN26000008","station":"mark","task":"mark","utc_ns":1773489622500009990}','','ru-1','1d0603d0cc0f5c0a13f4e9f378ecf7056627b288d7c38f0beaf2e4269e52b580','104de0af9ff83007b9c171be8874472fc9c2feecfea0f22d80fd26f69d0b7230');
INSERT INTO "audit_record" VALUES(101,1773489622750009,'mark','event.mark_authorised','serial','SN26000008',0,'null','{"content":"SN26000008","cycle":0,"device":"peen","part_id":"ru-1","serial":"SN26000008","station":"mark","task":"mark","template":"t.lua","utc_ns":1773489622750009990}','','ru-1','104de0af9ff83007b9c171be8874472fc9c2feecfea0f22d80fd26f69d0b7230','d9c10f7799845373f3c2eb9a114b901fee5a6f4362efaec37c86390af6fda591');
INSERT INTO "audit_record" VALUES(102,1773489623000009,'mark','event.mark_completed','serial','SN26000008',0,'null','{"cycle":0,"detail":"","duration_ms":80.0,"outcome":"acknowledged","part_id":"ru-1","serial":"SN26000008","station":"mark","task":"mark","utc_ns":1773489623000009990}','','ru-1','d9c10f7799845373f3c2eb9a114b901fee5a6f4362efaec37c86390af6fda591','da59228d62c3c27a3a65bb5ce0d3cb446d28e245615aceea5a2904c1b25fde7f');
INSERT INTO "audit_record" VALUES(103,1773489623250009,'mark','event.inspection_completed','unit','ru-1',0,'null','{"cycle":0,"duration_ms":0.0,"expected":"SN26000008","frame":0,"module_errors":null,"part_id":"ru-1","read":"SN26000008","reason":"","serial":"SN26000008","station":"inspect","task":"mark","unused_error_correction":0.75,"utc_ns":1773489623250009990,"verdict":"ok"}','','ru-1','da59228d62c3c27a3a65bb5ce0d3cb446d28e245615aceea5a2904c1b25fde7f','de0ad6d58a26372d35cefe03e0400bd359190319b0c21525c52ac3c643e4c9f3');
INSERT INTO "audit_record" VALUES(104,1773489623500009,'mark','event.part_released','unit','ru-1',0,'null','{"cycle":0,"part_id":"ru-1","reason":"","recovered":false,"serial":"SN26000008","task":"mark","utc_ns":1773489623500009990,"verdict":"good"}','','ru-1','de0ad6d58a26372d35cefe03e0400bd359190319b0c21525c52ac3c643e4c9f3','e7dae5ce64d945f93e9545e46ed28d16bf1acd47cdbb43401179cf2b35262f06');
INSERT INTO "audit_record" VALUES(105,1773489623750009,'mark','event.part_arrived','unit','ru-2',0,'null','{"cycle":0,"part_id":"ru-2","task":"mark","utc_ns":1773489623750009990}','','ru-2','e7dae5ce64d945f93e9545e46ed28d16bf1acd47cdbb43401179cf2b35262f06','7cdf1f27631c1743b8bdc608669694c80e19f3c088a4e28ccc305413848721e8');
INSERT INTO "audit_record" VALUES(106,1773489624000009,'mark','serial.reserve','serial','SN26000009',0,'null','{"fields":{"cage":"1A2B3","heat":"H9"},"order":"WO-2026-000010","part_id":"ru-2","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','ru-2','7cdf1f27631c1743b8bdc608669694c80e19f3c088a4e28ccc305413848721e8','3fec280197c494049a9041a77ab3b79476f05dc536668758afaeec98874b0036');
INSERT INTO "audit_record" VALUES(107,1773489624250009,'mark','event.serial_assigned','serial','SN26000009',0,'null','{"cycle":0,"fields":{},"order":"WO-2026-000010","part_id":"ru-2","part_number":"TB-4711","revision":"","serial":"SN26000009","station":"mark","task":"mark","utc_ns":1773489624250009990}','','ru-2','3fec280197c494049a9041a77ab3b79476f05dc536668758afaeec98874b0036','582ad839a261f0bb397f7a0fc03d427b4cac6b335a6387920b985e30effad542');
INSERT INTO "audit_record" VALUES(108,1773489624500009,'mark','event.mark_authorised','serial','SN26000009',0,'null','{"content":"SN26000009","cycle":0,"device":"peen","part_id":"ru-2","serial":"SN26000009","station":"mark","task":"mark","template":"t.lua","utc_ns":1773489624500009990}','','ru-2','582ad839a261f0bb397f7a0fc03d427b4cac6b335a6387920b985e30effad542','0cc3843faa85b0070c58a048f8ac3349393484ecabe9b0f14e414d08496b63b2');
INSERT INTO "audit_record" VALUES(109,1773489624750009,'mark','event.mark_completed','serial','SN26000009',0,'null','{"cycle":0,"detail":"","duration_ms":80.0,"outcome":"acknowledged","part_id":"ru-2","serial":"SN26000009","station":"mark","task":"mark","utc_ns":1773489624750009990}','','ru-2','0cc3843faa85b0070c58a048f8ac3349393484ecabe9b0f14e414d08496b63b2','3605c9cebb645caa8de819d3815487e7c58f4c9381367093dd6d6f406e436bc6');
INSERT INTO "audit_record" VALUES(110,1773489625000009,'mark','event.inspection_completed','unit','ru-2',0,'null','{"cycle":0,"duration_ms":0.0,"expected":"SN26000009","frame":0,"module_errors":null,"part_id":"ru-2","read":"","reason":"","serial":"SN26000009","station":"inspect","task":"mark","unused_error_correction":0.75,"utc_ns":1773489625000009990,"verdict":"not_ok"}','','ru-2','3605c9cebb645caa8de819d3815487e7c58f4c9381367093dd6d6f406e436bc6','b8ff794c1427dff751e1b0d51482c70cce18c14d0f9e5f68452acde67d308dd1');
INSERT INTO "audit_record" VALUES(111,1773489625250009,'mark','event.part_released','unit','ru-2',0,'null','{"cycle":0,"part_id":"ru-2","reason":"","recovered":false,"serial":"SN26000009","task":"mark","utc_ns":1773489625250009990,"verdict":"rejected"}','','ru-2','b8ff794c1427dff751e1b0d51482c70cce18c14d0f9e5f68452acde67d308dd1','cd4151d0cd58badb8041fb836c29f4d92765f4bc7378095f343114ffa76790eb');
INSERT INTO "audit_record" VALUES(112,1773489625500009,'mark','event.part_arrived','unit','ru-3',0,'null','{"cycle":0,"part_id":"ru-3","task":"mark","utc_ns":1773489625500009990}','','ru-3','cd4151d0cd58badb8041fb836c29f4d92765f4bc7378095f343114ffa76790eb','8dac09730b347d698f98a25d9522c01cdac0aaeffda270d6df063034a2f51188');
INSERT INTO "audit_record" VALUES(113,1773489625750009,'mark','serial.reserve','serial','SN26000010',0,'null','{"fields":{"cage":"1A2B3","heat":"H9"},"order":"WO-2026-000010","part_id":"ru-3","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','ru-3','8dac09730b347d698f98a25d9522c01cdac0aaeffda270d6df063034a2f51188','099f90c67dbc5f7e6735b9040d9ba239533ee0c46eb3f509d17ef5707efb1d68');
INSERT INTO "audit_record" VALUES(114,1773489626000009,'mark','event.serial_assigned','serial','SN26000010',0,'null','{"cycle":0,"fields":{},"order":"WO-2026-000010","part_id":"ru-3","part_number":"TB-4711","revision":"","serial":"SN26000010","station":"mark","task":"mark","utc_ns":1773489626000009990}','','ru-3','099f90c67dbc5f7e6735b9040d9ba239533ee0c46eb3f509d17ef5707efb1d68','dc4f84ebf1c89b815765bd9fa5bc49ecb5d4239b20aea0d9e4051c76ef602f25');
INSERT INTO "audit_record" VALUES(115,1773489626250009,'mark','event.mark_authorised','serial','SN26000010',0,'null','{"content":"SN26000010","cycle":0,"device":"peen","part_id":"ru-3","serial":"SN26000010","station":"mark","task":"mark","template":"t.lua","utc_ns":1773489626250009990}','','ru-3','dc4f84ebf1c89b815765bd9fa5bc49ecb5d4239b20aea0d9e4051c76ef602f25','613c2bf7fbd258f2f12e05b48f9860c16d26ff441126be74858043fb72bd42ad');
INSERT INTO "audit_record" VALUES(116,1773489626500009,'mark','event.mark_completed','serial','SN26000010',0,'null','{"cycle":0,"detail":"","duration_ms":80.0,"outcome":"acknowledged","part_id":"ru-3","serial":"SN26000010","station":"mark","task":"mark","utc_ns":1773489626500009990}','','ru-3','613c2bf7fbd258f2f12e05b48f9860c16d26ff441126be74858043fb72bd42ad','e5042d907766808cbd633b0933ca0e1085d127be2580707488c647c819a49a7a');
INSERT INTO "audit_record" VALUES(117,1773489626750009,'mark','event.inspection_completed','unit','ru-3',0,'null','{"cycle":0,"duration_ms":0.0,"expected":"SN26000010","frame":0,"module_errors":null,"part_id":"ru-3","read":"SN26000010","reason":"","serial":"SN26000010","station":"inspect","task":"mark","unused_error_correction":0.75,"utc_ns":1773489626750009990,"verdict":"ok"}','','ru-3','e5042d907766808cbd633b0933ca0e1085d127be2580707488c647c819a49a7a','aaf4abf78fbcb339e60803a2126d80b1d8ca2839f4345a3eca71fd00106aa11c');
INSERT INTO "audit_record" VALUES(118,1773489627000009,'mark','event.part_arrived','unit','ru-4',0,'null','{"cycle":0,"part_id":"ru-4","task":"mark","utc_ns":1773489627000009990}','','ru-4','aaf4abf78fbcb339e60803a2126d80b1d8ca2839f4345a3eca71fd00106aa11c','1c74bca43eee7f28caa0cea9aaac5b24b841acbbcbd43edf30e8f7a8c58a2eec');
INSERT INTO "audit_record" VALUES(119,1773489627250009,'mark','serial.reserve','serial','SN26000011',0,'null','{"fields":{"cage":"1A2B3","heat":"H9"},"order":"WO-2026-000010","part_id":"ru-4","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','ru-4','1c74bca43eee7f28caa0cea9aaac5b24b841acbbcbd43edf30e8f7a8c58a2eec','b40978efcb1107d7fc727d2bc9e27d403ec7be5bb02c281c980d90b815ca118e');
INSERT INTO "audit_record" VALUES(120,1773489627500009,'mark','event.part_arrived','unit','ru-5',0,'null','{"cycle":0,"part_id":"ru-5","task":"mark","utc_ns":1773489627500009990}','','ru-5','b40978efcb1107d7fc727d2bc9e27d403ec7be5bb02c281c980d90b815ca118e','125085da30f30ddc3f6f21f7bcb2d3fcd187e219e5dca5dd89b693ea72abd0ee');
INSERT INTO "audit_record" VALUES(121,1773489627750009,'mark','serial.reserve','serial','SN26000012',0,'null','{"fields":{"cage":"1A2B3","heat":"H9"},"order":"WO-2026-000010","part_id":"ru-5","part_number":"TB-4711","part_version":1,"revision":"C","station":"mark"}','','ru-5','125085da30f30ddc3f6f21f7bcb2d3fcd187e219e5dca5dd89b693ea72abd0ee','8242c032e19153d42c1e8fe5ad86d42c95250028e5d34630cb109ebe9c678105');
INSERT INTO "audit_record" VALUES(122,1773489628000009,'mark','event.serial_assigned','serial','SN26000012',0,'null','{"cycle":0,"fields":{},"order":"WO-2026-000010","part_id":"ru-5","part_number":"TB-4711","revision":"","serial":"SN26000012","station":"mark","task":"mark","utc_ns":1773489628000009990}','','ru-5','8242c032e19153d42c1e8fe5ad86d42c95250028e5d34630cb109ebe9c678105','b1be71ee9ec917b85c4a9aa219fa1e3952973572db21588b6da0e7f267ebb653');
INSERT INTO "audit_record" VALUES(123,1773489628250009,'mark','event.part_arrived','unit','ru-6',0,'null','{"cycle":0,"part_id":"ru-6","task":"mark","utc_ns":1773489628250009990}','','ru-6','b1be71ee9ec917b85c4a9aa219fa1e3952973572db21588b6da0e7f267ebb653','7d1147157a2f067952d26f4f1a7ebceb7a09278e4e481278ec1d15d5274976a8');
INSERT INTO "audit_record" VALUES(124,1773489628500009,'mark','event.mark_completed','serial','NEVER-GIVEN',0,'null','{"cycle":0,"detail":"","duration_ms":1.5,"outcome":"acknowledged","part_id":"ghost","serial":"NEVER-GIVEN","station":"mark","task":"mark","utc_ns":1773489628500009990}','','ghost','7d1147157a2f067952d26f4f1a7ebceb7a09278e4e481278ec1d15d5274976a8','20cf13a29747c473ec38958f967a77b4682d7ec3da4f35d9248648dfff26189a');
INSERT INTO "audit_record" VALUES(125,1773489628500009,'mark','anomaly.mark_not_authorised','serial','NEVER-GIVEN',0,'null','{"sequence":74,"source":"journal-4f2a"}','the marker reported serial NEVER-GIVEN on part ghost, but no authorisation is open; quarantine the part','ghost','20cf13a29747c473ec38958f967a77b4682d7ec3da4f35d9248648dfff26189a','cf7f59f419468d425ac2f00a133cfaeeb8d858ad930fd80dcd8064541b7ac0dd');
INSERT INTO "audit_record" VALUES(126,1773489628750009,'mark','event.part_released','unit','ghost2',0,'null','{"cycle":0,"part_id":"ghost2","reason":"","recovered":false,"serial":"X","task":"mark","utc_ns":1773489628750009990,"verdict":"good"}','','ghost2','cf7f59f419468d425ac2f00a133cfaeeb8d858ad930fd80dcd8064541b7ac0dd','f2f5a1fa25cf8548fce0824dbbcdec6c461869dff90a53adc51785e95e70b01f');
INSERT INTO "audit_record" VALUES(127,1773489628750009,'mark','anomaly.serial_mismatch','unit','ghost2',0,'null','{"sequence":75,"source":"journal-4f2a"}','part ghost2 was released with serial ''X'' but holds ''''; quarantine it','ghost2','f2f5a1fa25cf8548fce0824dbbcdec6c461869dff90a53adc51785e95e70b01f','4d76318eccbb885187912b53daf7ec1484eb955a8d6065a9b628aaaa8a366455');
INSERT INTO "audit_record" VALUES(128,1773489628750009,'mark','anomaly.good_without_serial','unit','ghost2',0,'null','{"sequence":75,"source":"journal-4f2a"}','part ghost2 was released as good without a serial; quarantine it','ghost2','4d76318eccbb885187912b53daf7ec1484eb955a8d6065a9b628aaaa8a366455','b6bf7a1287944bfe08433653f801ba3431e893e914d46de73c10fbb6ec0004e7');
INSERT INTO "audit_record" VALUES(129,1773489628750009,'erp','work_order.create','work_order','WO-2026-000011',1,'null','{"fields":{},"job_order_id":"JOB-PREP","parameters":{},"part_number":"TB-PREP","part_version":1,"priority":0,"quantity":3,"quantity_counts":"attempted","revision":"","serial_pattern":"P{n:04d}","state":"CREATED"}','imported','JOB-PREP','b6bf7a1287944bfe08433653f801ba3431e893e914d46de73c10fbb6ec0004e7','6e23e0b9cfce083096aca1f24169c6f636ace1c98501f0d5b325f2cd5b540b08');
INSERT INTO "audit_record" VALUES(130,1773489628750009,'erp','work_order.release','work_order','WO-2026-000011',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-PREP','6e23e0b9cfce083096aca1f24169c6f636ace1c98501f0d5b325f2cd5b540b08','ffc32deeb53cb776bbbf81aaaa37643e351fd418b2fbe6a370abffac8865e90e');
INSERT INTO "audit_record" VALUES(131,1773489628750009,'erp','work_order.make_ready','work_order','WO-2026-000011',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-PREP','ffc32deeb53cb776bbbf81aaaa37643e351fd418b2fbe6a370abffac8865e90e','976fcb037647c30b8f8327969839f132535f560629646f04805f83756413eaef');
INSERT INTO "audit_record" VALUES(132,1773489628750009,'meier','work_order.start','work_order','WO-2026-000011',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"RUNNING"}','start it','JOB-PREP','976fcb037647c30b8f8327969839f132535f560629646f04805f83756413eaef','4c6aa39a3a234bf8ae9b3437280ef33085942656758d7210b072d44818662134');
INSERT INTO "audit_record" VALUES(133,1773489628750009,'anna','operation.start','operation','WO-2026-000011/10',0,'{"state":"WAITING"}','{"done":0,"state":"RUNNING"}','','JOB-PREP','4c6aa39a3a234bf8ae9b3437280ef33085942656758d7210b072d44818662134','1ff7dd2f7ea3169aa5f377edaa5e0054a955f84dbcbaf4f9b0faf99d5591aa4c');
INSERT INTO "audit_record" VALUES(134,1773489628750009,'anna','operation.report','operation','WO-2026-000011/10',0,'{"done":0}','{"done":2,"state":"RUNNING"}','two','JOB-PREP','1ff7dd2f7ea3169aa5f377edaa5e0054a955f84dbcbaf4f9b0faf99d5591aa4c','e66d283e9ad95471e8a7b84a5aefd414f7fa1eb2d2291b9000f46d9fce812add');
INSERT INTO "audit_record" VALUES(135,1773489628750009,'anna','operation.report','operation','WO-2026-000011/10',0,'{"done":2}','{"done":3,"state":"RUNNING"}','','JOB-PREP','e66d283e9ad95471e8a7b84a5aefd414f7fa1eb2d2291b9000f46d9fce812add','c025aca6012fb0ac39bd0f5285c0f1dc054b82acda775c4b589299aa0fcc9654');
INSERT INTO "audit_record" VALUES(136,1773489628750009,'anna','operation.complete','operation','WO-2026-000011/10',0,'{"state":"RUNNING"}','{"done":3,"state":"COMPLETED"}','','JOB-PREP','c025aca6012fb0ac39bd0f5285c0f1dc054b82acda775c4b589299aa0fcc9654','4ca183660b56183f3e93d302b4b73937814053aa34a508c76f19871787c4eb29');
INSERT INTO "audit_record" VALUES(137,1773489628750009,'erp','work_order.create','work_order','WO-2026-000012',1,'null','{"fields":{},"job_order_id":"JOB-PREP2","parameters":{},"part_number":"TB-PREP","part_version":1,"priority":0,"quantity":4,"quantity_counts":"attempted","revision":"","serial_pattern":"P{n:04d}","state":"CREATED"}','imported','JOB-PREP2','4ca183660b56183f3e93d302b4b73937814053aa34a508c76f19871787c4eb29','533b2657ca7a28dbae639468a08c167e30e7a6ebaa599f9e86e18ba05c72bb6f');
INSERT INTO "audit_record" VALUES(138,1773489628750009,'erp','work_order.release','work_order','WO-2026-000012',2,'{"state":"CREATED"}','{"good":0,"rejected":0,"state":"RELEASED"}','imported','JOB-PREP2','533b2657ca7a28dbae639468a08c167e30e7a6ebaa599f9e86e18ba05c72bb6f','51d2878e13e1916444fe24a0583c6786c8c00bea96959d458dcfa169b88ece58');
INSERT INTO "audit_record" VALUES(139,1773489628750009,'erp','work_order.make_ready','work_order','WO-2026-000012',3,'{"state":"RELEASED"}','{"good":0,"rejected":0,"state":"READY"}','imported','JOB-PREP2','51d2878e13e1916444fe24a0583c6786c8c00bea96959d458dcfa169b88ece58','b843419cf9650763b8e667b995bdb2073369334efa28ade6fa30297fdf439b20');
INSERT INTO "audit_record" VALUES(140,1773489628750009,'meier','work_order.start','work_order','WO-2026-000012',4,'{"state":"READY"}','{"good":0,"rejected":0,"state":"RUNNING"}','start it','JOB-PREP2','b843419cf9650763b8e667b995bdb2073369334efa28ade6fa30297fdf439b20','265ac6a3e91a6f4932ae802b35695935b7d1d6f483bc9742fdb025a5502b7304');
INSERT INTO "audit_record" VALUES(141,1773489628750009,'anna','operation.start','operation','WO-2026-000012/10',0,'{"state":"WAITING"}','{"done":0,"state":"RUNNING"}','','JOB-PREP2','265ac6a3e91a6f4932ae802b35695935b7d1d6f483bc9742fdb025a5502b7304','4da245ae77d56f686b26e40f48e98b8aa1b20f5a388217f4a022b4456227a6b8');
INSERT INTO "audit_record" VALUES(142,1773489628750009,'anna','operation.report','operation','WO-2026-000012/10',0,'{"done":0}','{"done":1,"state":"RUNNING"}','one','JOB-PREP2','4da245ae77d56f686b26e40f48e98b8aa1b20f5a388217f4a022b4456227a6b8','e04d410cf7935e5a01182501df478ce6bf4958a300e77a88cecc4b33ba9b8bc7');
INSERT INTO "audit_record" VALUES(143,1773489629000009,'mark','event.part_arrived','unit','last',0,'null','{"cycle":0,"part_id":"last","task":"mark","utc_ns":1773489629000009990}','','last','e04d410cf7935e5a01182501df478ce6bf4958a300e77a88cecc4b33ba9b8bc7','683f9744e5b048ffc05ab5ca8052b7ffefbe2a581f9aa1975afa06e868c2cd6f');
INSERT INTO "audit_record" VALUES(144,1773489629000009,'planner','part_definition.change','part_definition','TB-PREP/',2,'{"description":"","fields":{},"part_number":"TB-PREP","revision":"","routing":[{"kind":"manual","name":"Clean","required":true,"sequence":10,"sequential":false,"station":""},{"kind":"mark","name":"Mark","required":true,"sequence":20,"sequential":true,"station":""},{"kind":"manual","name":"Pack","required":true,"sequence":30,"sequential":false,"station":""}],"serial_pattern":"P{n:04d}"}','{"description":"now with words","fields":{},"part_number":"TB-PREP","revision":"","routing":[{"kind":"manual","name":"Clean","required":true,"sequence":10,"sequential":false,"station":""},{"kind":"mark","name":"Mark","required":true,"sequence":20,"sequential":true,"station":""},{"kind":"manual","name":"Pack","required":true,"sequence":30,"sequential":false,"station":""}],"serial_pattern":"P{n:04d}"}','','TB-PREP/','683f9744e5b048ffc05ab5ca8052b7ffefbe2a581f9aa1975afa06e868c2cd6f','60bc8b3c570884618e136e64b940746153f5049b5c399038cb6712ec186e2d2c');
CREATE TABLE counter (
	name VARCHAR NOT NULL, 
	value BIGINT NOT NULL, 
	CONSTRAINT pk_counter PRIMARY KEY (name)
);
INSERT INTO "counter" VALUES('work_order/2026',12);
INSERT INTO "counter" VALUES('serial/SN26#6',12);
CREATE TABLE inbox_position (
	source VARCHAR NOT NULL, 
	sequence BIGINT NOT NULL, 
	CONSTRAINT pk_inbox_position PRIMARY KEY (source)
);
INSERT INTO "inbox_position" VALUES('journal-4f2a',76);
CREATE TABLE inspection (
	id INTEGER NOT NULL, 
	unit_id INTEGER NOT NULL, 
	serial VARCHAR NOT NULL, 
	station VARCHAR NOT NULL, 
	expected VARCHAR NOT NULL, 
	read VARCHAR NOT NULL, 
	verdict VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	unused_error_correction DOUBLE, 
	module_errors BIGINT, 
	duration_ms DOUBLE, 
	frame BIGINT NOT NULL, 
	inspected_utc DATETIME NOT NULL, 
	CONSTRAINT pk_inspection PRIMARY KEY (id), 
	CONSTRAINT fk_inspection_unit_id_unit FOREIGN KEY(unit_id) REFERENCES unit (id)
);
INSERT INTO "inspection" VALUES(1,1,'SN26000001','inspect','SN26000001','SN26000001','ok','',0.75,NULL,0.0,0,'2026-03-14 12:00:11.500009');
INSERT INTO "inspection" VALUES(2,2,'SN26000002','inspect','SN26000002','SN26000002','ok','',0.75,NULL,0.0,0,'2026-03-14 12:00:13.250009');
INSERT INTO "inspection" VALUES(3,3,'SN26000003','inspect','SN26000003','SN26000003','ok','',0.75,NULL,0.0,0,'2026-03-14 12:00:15.000009');
INSERT INTO "inspection" VALUES(4,4,'SN26000004','inspect','SN26000004','','not_ok','',0.75,NULL,0.0,0,'2026-03-14 12:00:16.750009');
INSERT INTO "inspection" VALUES(5,5,'SN26000005','inspect','SN26000005','SN26000005','ok','',0.75,NULL,0.0,0,'2026-03-14 12:00:18.500009');
INSERT INTO "inspection" VALUES(6,6,'SN26000006','inspect','SN26000006','SN26000006','ok','',0.75,NULL,0.0,0,'2026-03-14 12:00:20.250009');
INSERT INTO "inspection" VALUES(7,9,'SN26000008','inspect','SN26000008','SN26000008','ok','',0.75,NULL,0.0,0,'2026-03-14 12:00:23.250009');
INSERT INTO "inspection" VALUES(8,10,'SN26000009','inspect','SN26000009','','not_ok','',0.75,NULL,0.0,0,'2026-03-14 12:00:25.000009');
INSERT INTO "inspection" VALUES(9,11,'SN26000010','inspect','SN26000010','SN26000010','ok','',0.75,NULL,0.0,0,'2026-03-14 12:00:26.750009');
CREATE TABLE mark (
	id INTEGER NOT NULL, 
	unit_id INTEGER NOT NULL, 
	serial VARCHAR NOT NULL, 
	station VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	template VARCHAR NOT NULL, 
	content VARCHAR NOT NULL, 
	authorised_utc DATETIME, 
	completed_utc DATETIME, 
	outcome VARCHAR NOT NULL, 
	detail VARCHAR NOT NULL, 
	duration_ms DOUBLE, 
	CONSTRAINT pk_mark PRIMARY KEY (id), 
	CONSTRAINT fk_mark_unit_id_unit FOREIGN KEY(unit_id) REFERENCES unit (id)
);
INSERT INTO "mark" VALUES(1,1,'SN26000001','mark','peen','t.lua','SN26000001','2026-03-14 12:00:11.000009','2026-03-14 12:00:11.250009','acknowledged','',80.0);
INSERT INTO "mark" VALUES(2,2,'SN26000002','mark','peen','t.lua','SN26000002','2026-03-14 12:00:12.750009','2026-03-14 12:00:13.000009','acknowledged','',80.0);
INSERT INTO "mark" VALUES(3,3,'SN26000003','mark','peen','t.lua','SN26000003','2026-03-14 12:00:14.500009','2026-03-14 12:00:14.750009','acknowledged','',80.0);
INSERT INTO "mark" VALUES(4,4,'SN26000004','mark','peen','t.lua','SN26000004','2026-03-14 12:00:16.250009','2026-03-14 12:00:16.500009','acknowledged','',80.0);
INSERT INTO "mark" VALUES(5,5,'SN26000005','mark','peen','t.lua','SN26000005','2026-03-14 12:00:18.000009','2026-03-14 12:00:18.250009','acknowledged','',80.0);
INSERT INTO "mark" VALUES(6,6,'SN26000006','mark','peen','t.lua','SN26000006','2026-03-14 12:00:19.750009','2026-03-14 12:00:20.000009','acknowledged','',80.0);
INSERT INTO "mark" VALUES(7,9,'SN26000008','mark','peen','t.lua','SN26000008','2026-03-14 12:00:22.750009','2026-03-14 12:00:23.000009','acknowledged','',80.0);
INSERT INTO "mark" VALUES(8,10,'SN26000009','mark','peen','t.lua','SN26000009','2026-03-14 12:00:24.500009','2026-03-14 12:00:24.750009','acknowledged','',80.0);
INSERT INTO "mark" VALUES(9,11,'SN26000010','mark','peen','t.lua','SN26000010','2026-03-14 12:00:26.250009','2026-03-14 12:00:26.500009','acknowledged','',80.0);
INSERT INTO "mark" VALUES(10,15,'NEVER-GIVEN','mark','','','',NULL,'2026-03-14 12:00:28.500009','acknowledged','',1.5);
CREATE TABLE operation (
	id INTEGER NOT NULL, 
	order_id INTEGER NOT NULL, 
	sequence INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	station VARCHAR NOT NULL, 
	sequential BOOLEAN NOT NULL, 
	inspection_required BOOLEAN NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	done INTEGER NOT NULL, 
	started_utc DATETIME, 
	ended_utc DATETIME, 
	CONSTRAINT pk_operation PRIMARY KEY (id), 
	CONSTRAINT ck_operation_end_after_start CHECK (ended_utc IS NULL OR started_utc IS NULL OR ended_utc >= started_utc), 
	CONSTRAINT fk_operation_order_id_work_order FOREIGN KEY(order_id) REFERENCES work_order (id), 
	CONSTRAINT uq_operation_order_id_sequence UNIQUE (order_id, sequence), 
	CONSTRAINT ck_operation_kind CHECK (kind IN ('mark', 'inspect', 'manual')), 
	CONSTRAINT ck_operation_state CHECK (state IN ('WAITING', 'RUNNING', 'COMPLETED', 'STOPPED'))
);
INSERT INTO "operation" VALUES(1,1,10,'Mark','mark','mark',0,0,'WAITING',0,NULL,NULL);
INSERT INTO "operation" VALUES(2,1,20,'Inspect','inspect','inspect',0,1,'WAITING',0,NULL,NULL);
INSERT INTO "operation" VALUES(3,2,10,'Mark','mark','mark',0,0,'STOPPED',0,NULL,'2026-03-14 12:00:10.000009');
INSERT INTO "operation" VALUES(4,2,20,'Inspect','inspect','inspect',0,1,'STOPPED',0,NULL,'2026-03-14 12:00:10.000009');
INSERT INTO "operation" VALUES(5,3,10,'Mark','mark','mark',0,0,'STOPPED',0,NULL,'2026-03-14 12:00:10.000009');
INSERT INTO "operation" VALUES(6,3,20,'Inspect','inspect','inspect',0,1,'STOPPED',0,NULL,'2026-03-14 12:00:10.000009');
INSERT INTO "operation" VALUES(7,4,10,'Mark','mark','mark',0,0,'RUNNING',1,'2026-03-14 12:00:20.000009',NULL);
INSERT INTO "operation" VALUES(8,4,20,'Inspect','inspect','inspect',0,1,'RUNNING',1,'2026-03-14 12:00:20.250009',NULL);
INSERT INTO "operation" VALUES(9,5,10,'Mark','mark','mark',0,0,'WAITING',0,NULL,NULL);
INSERT INTO "operation" VALUES(10,5,20,'Inspect','inspect','inspect',0,1,'WAITING',0,NULL,NULL);
INSERT INTO "operation" VALUES(11,6,10,'Mark','mark','mark',0,0,'COMPLETED',2,'2026-03-14 12:00:11.250009','2026-03-14 12:00:13.500009');
INSERT INTO "operation" VALUES(12,6,20,'Inspect','inspect','inspect',0,1,'COMPLETED',2,'2026-03-14 12:00:11.500009','2026-03-14 12:00:13.500009');
INSERT INTO "operation" VALUES(13,7,10,'Mark','mark','mark',0,0,'COMPLETED',1,'2026-03-14 12:00:14.750009','2026-03-14 12:00:15.250009');
INSERT INTO "operation" VALUES(14,7,20,'Inspect','inspect','inspect',0,1,'COMPLETED',1,'2026-03-14 12:00:15.000009','2026-03-14 12:00:15.250009');
INSERT INTO "operation" VALUES(15,8,10,'Mark','mark','mark',0,0,'STOPPED',1,'2026-03-14 12:00:16.500009','2026-03-14 12:00:17.000009');
INSERT INTO "operation" VALUES(16,8,20,'Inspect','inspect','inspect',0,1,'STOPPED',1,'2026-03-14 12:00:16.750009','2026-03-14 12:00:17.000009');
INSERT INTO "operation" VALUES(17,9,10,'Mark','mark','mark',0,0,'COMPLETED',1,'2026-03-14 12:00:18.250009','2026-03-14 12:00:18.750009');
INSERT INTO "operation" VALUES(18,9,20,'Inspect','inspect','inspect',0,1,'COMPLETED',1,'2026-03-14 12:00:18.500009','2026-03-14 12:00:18.750009');
INSERT INTO "operation" VALUES(19,10,10,'Mark','mark','mark',0,0,'RUNNING',3,'2026-03-14 12:00:23.000009',NULL);
INSERT INTO "operation" VALUES(20,10,20,'Inspect','inspect','inspect',0,1,'RUNNING',3,'2026-03-14 12:00:23.250009',NULL);
INSERT INTO "operation" VALUES(21,11,10,'Clean','manual','',0,0,'COMPLETED',3,'2026-03-14 12:00:28.750009','2026-03-14 12:00:28.750009');
INSERT INTO "operation" VALUES(22,11,20,'Mark','mark','',1,0,'WAITING',0,NULL,NULL);
INSERT INTO "operation" VALUES(23,11,30,'Pack','manual','',0,0,'WAITING',0,NULL,NULL);
INSERT INTO "operation" VALUES(24,12,10,'Clean','manual','',0,0,'RUNNING',1,'2026-03-14 12:00:28.750009',NULL);
INSERT INTO "operation" VALUES(25,12,20,'Mark','mark','',1,0,'WAITING',0,NULL,NULL);
INSERT INTO "operation" VALUES(26,12,30,'Pack','manual','',0,0,'WAITING',0,NULL,NULL);
CREATE TABLE part_definition (
	id INTEGER NOT NULL, 
	part_number VARCHAR NOT NULL, 
	revision VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	serial_pattern VARCHAR NOT NULL, 
	fields JSON NOT NULL, 
	version INTEGER NOT NULL, 
	changed_utc DATETIME NOT NULL, 
	CONSTRAINT pk_part_definition PRIMARY KEY (id), 
	CONSTRAINT uq_part_definition_part_number_revision UNIQUE (part_number, revision)
);
INSERT INTO "part_definition" VALUES(1,'TB-4711','C','Turbine blade, stage 1','SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": ""}',1,'2026-03-14 12:00:00.000000');
INSERT INTO "part_definition" VALUES(2,'TB-0000','','','X{n:04d}','{}',1,'2026-03-14 12:00:00.000000');
INSERT INTO "part_definition" VALUES(3,'TB-PREP','','now with words','P{n:04d}','{}',2,'2026-03-14 12:00:29.000009');
CREATE TABLE routing (
	id INTEGER NOT NULL, 
	part_definition_id INTEGER NOT NULL, 
	CONSTRAINT pk_routing PRIMARY KEY (id), 
	CONSTRAINT fk_routing_part_definition_id_part_definition FOREIGN KEY(part_definition_id) REFERENCES part_definition (id), 
	CONSTRAINT uq_routing_part_definition_id UNIQUE (part_definition_id)
);
INSERT INTO "routing" VALUES(1,1);
INSERT INTO "routing" VALUES(2,3);
CREATE TABLE routing_operation (
	id INTEGER NOT NULL, 
	routing_id INTEGER NOT NULL, 
	sequence INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	station VARCHAR NOT NULL, 
	sequential BOOLEAN NOT NULL, 
	inspection_required BOOLEAN NOT NULL, 
	CONSTRAINT pk_routing_operation PRIMARY KEY (id), 
	CONSTRAINT ck_routing_operation_sequence CHECK (sequence > 0), 
	CONSTRAINT fk_routing_operation_routing_id_routing FOREIGN KEY(routing_id) REFERENCES routing (id), 
	CONSTRAINT uq_routing_operation_routing_id_sequence UNIQUE (routing_id, sequence), 
	CONSTRAINT ck_routing_operation_kind CHECK (kind IN ('mark', 'inspect', 'manual'))
);
INSERT INTO "routing_operation" VALUES(1,1,10,'Mark','mark','mark',0,0);
INSERT INTO "routing_operation" VALUES(2,1,20,'Inspect','inspect','inspect',0,1);
INSERT INTO "routing_operation" VALUES(3,2,10,'Clean','manual','',0,0);
INSERT INTO "routing_operation" VALUES(4,2,20,'Mark','mark','',1,0);
INSERT INTO "routing_operation" VALUES(5,2,30,'Pack','manual','',0,0);
CREATE TABLE serial (
	id INTEGER NOT NULL, 
	serial VARCHAR NOT NULL, 
	unit_id INTEGER NOT NULL, 
	order_id INTEGER, 
	station VARCHAR NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	reserved_utc DATETIME NOT NULL, 
	assigned_utc DATETIME, 
	spent_utc DATETIME, 
	CONSTRAINT pk_serial PRIMARY KEY (id), 
	CONSTRAINT fk_serial_order_id_work_order FOREIGN KEY(order_id) REFERENCES work_order (id), 
	CONSTRAINT fk_serial_unit_id_unit FOREIGN KEY(unit_id) REFERENCES unit (id), 
	CONSTRAINT uq_serial_serial UNIQUE (serial), 
	CONSTRAINT uq_serial_unit_id UNIQUE (unit_id), 
	CONSTRAINT ck_serial_state CHECK (state IN ('RESERVED', 'ASSIGNED', 'SPENT'))
);
INSERT INTO "serial" VALUES(1,'SN26000001',1,6,'mark','SPENT','2026-03-14 12:00:10.500009','2026-03-14 12:00:10.750009','2026-03-14 12:00:11.000009');
INSERT INTO "serial" VALUES(2,'SN26000002',2,6,'mark','SPENT','2026-03-14 12:00:12.250009','2026-03-14 12:00:12.500009','2026-03-14 12:00:12.750009');
INSERT INTO "serial" VALUES(3,'SN26000003',3,7,'mark','SPENT','2026-03-14 12:00:14.000009','2026-03-14 12:00:14.250009','2026-03-14 12:00:14.500009');
INSERT INTO "serial" VALUES(4,'SN26000004',4,8,'mark','SPENT','2026-03-14 12:00:15.750009','2026-03-14 12:00:16.000009','2026-03-14 12:00:16.250009');
INSERT INTO "serial" VALUES(5,'SN26000005',5,9,'mark','SPENT','2026-03-14 12:00:17.500009','2026-03-14 12:00:17.750009','2026-03-14 12:00:18.000009');
INSERT INTO "serial" VALUES(6,'SN26000006',6,4,'mark','SPENT','2026-03-14 12:00:19.250009','2026-03-14 12:00:19.500009','2026-03-14 12:00:19.750009');
INSERT INTO "serial" VALUES(7,'SN26000007',7,5,'mark','RESERVED','2026-03-14 12:00:21.000009',NULL,NULL);
INSERT INTO "serial" VALUES(8,'SN26000008',9,10,'mark','SPENT','2026-03-14 12:00:22.250009','2026-03-14 12:00:22.500009','2026-03-14 12:00:22.750009');
INSERT INTO "serial" VALUES(9,'SN26000009',10,10,'mark','SPENT','2026-03-14 12:00:24.000009','2026-03-14 12:00:24.250009','2026-03-14 12:00:24.500009');
INSERT INTO "serial" VALUES(10,'SN26000010',11,10,'mark','SPENT','2026-03-14 12:00:25.750009','2026-03-14 12:00:26.000009','2026-03-14 12:00:26.250009');
INSERT INTO "serial" VALUES(11,'SN26000011',12,10,'mark','RESERVED','2026-03-14 12:00:27.250009',NULL,NULL);
INSERT INTO "serial" VALUES(12,'SN26000012',13,10,'mark','ASSIGNED','2026-03-14 12:00:27.750009','2026-03-14 12:00:28.000009',NULL);
CREATE TABLE state_transition (
	id INTEGER NOT NULL, 
	entity_type VARCHAR NOT NULL, 
	entity_id VARCHAR NOT NULL, 
	event VARCHAR NOT NULL, 
	old VARCHAR NOT NULL, 
	new VARCHAR NOT NULL, 
	actor VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	utc DATETIME NOT NULL, 
	CONSTRAINT pk_state_transition PRIMARY KEY (id)
);
INSERT INTO "state_transition" VALUES(1,'work_order','WO-2026-000001','create','','CREATED','erp','imported','2026-03-14 12:00:00.000000');
INSERT INTO "state_transition" VALUES(2,'work_order','WO-2026-000001','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:00.000000');
INSERT INTO "state_transition" VALUES(3,'work_order','WO-2026-000001','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:00.000000');
INSERT INTO "state_transition" VALUES(4,'work_order','WO-2026-000002','create','','CREATED','erp','imported','2026-03-14 12:00:01.000000');
INSERT INTO "state_transition" VALUES(5,'work_order','WO-2026-000002','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:01.000000');
INSERT INTO "state_transition" VALUES(6,'work_order','WO-2026-000002','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:01.000000');
INSERT INTO "state_transition" VALUES(7,'work_order','WO-2026-000003','create','','CREATED','erp','imported','2026-03-14 12:00:02.000001');
INSERT INTO "state_transition" VALUES(8,'work_order','WO-2026-000003','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:02.000001');
INSERT INTO "state_transition" VALUES(9,'work_order','WO-2026-000003','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:02.000001');
INSERT INTO "state_transition" VALUES(10,'work_order','WO-2026-000004','create','','CREATED','erp','imported','2026-03-14 12:00:03.000002');
INSERT INTO "state_transition" VALUES(11,'work_order','WO-2026-000004','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:03.000002');
INSERT INTO "state_transition" VALUES(12,'work_order','WO-2026-000004','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:03.000002');
INSERT INTO "state_transition" VALUES(13,'work_order','WO-2026-000005','create','','CREATED','erp','imported','2026-03-14 12:00:04.000003');
INSERT INTO "state_transition" VALUES(14,'work_order','WO-2026-000005','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:04.000003');
INSERT INTO "state_transition" VALUES(15,'work_order','WO-2026-000005','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:04.000003');
INSERT INTO "state_transition" VALUES(16,'work_order','WO-2026-000006','create','','CREATED','erp','imported','2026-03-14 12:00:05.000004');
INSERT INTO "state_transition" VALUES(17,'work_order','WO-2026-000006','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:05.000004');
INSERT INTO "state_transition" VALUES(18,'work_order','WO-2026-000006','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:05.000004');
INSERT INTO "state_transition" VALUES(19,'work_order','WO-2026-000007','create','','CREATED','erp','imported','2026-03-14 12:00:06.000005');
INSERT INTO "state_transition" VALUES(20,'work_order','WO-2026-000007','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:06.000005');
INSERT INTO "state_transition" VALUES(21,'work_order','WO-2026-000007','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:06.000005');
INSERT INTO "state_transition" VALUES(22,'work_order','WO-2026-000008','create','','CREATED','erp','imported','2026-03-14 12:00:07.000006');
INSERT INTO "state_transition" VALUES(23,'work_order','WO-2026-000008','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:07.000006');
INSERT INTO "state_transition" VALUES(24,'work_order','WO-2026-000008','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:07.000006');
INSERT INTO "state_transition" VALUES(25,'work_order','WO-2026-000009','create','','CREATED','erp','imported','2026-03-14 12:00:08.000007');
INSERT INTO "state_transition" VALUES(26,'work_order','WO-2026-000009','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:08.000007');
INSERT INTO "state_transition" VALUES(27,'work_order','WO-2026-000009','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:08.000007');
INSERT INTO "state_transition" VALUES(28,'work_order','WO-2026-000010','create','','CREATED','erp','imported','2026-03-14 12:00:09.000008');
INSERT INTO "state_transition" VALUES(29,'work_order','WO-2026-000010','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:09.000008');
INSERT INTO "state_transition" VALUES(30,'work_order','WO-2026-000010','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:09.000008');
INSERT INTO "state_transition" VALUES(31,'operation','WO-2026-000002/10','stop','WAITING','STOPPED','meier','cancel it','2026-03-14 12:00:10.000009');
INSERT INTO "state_transition" VALUES(32,'operation','WO-2026-000002/20','stop','WAITING','STOPPED','meier','cancel it','2026-03-14 12:00:10.000009');
INSERT INTO "state_transition" VALUES(33,'work_order','WO-2026-000002','cancel','READY','CANCELLED','meier','cancel it','2026-03-14 12:00:10.000009');
INSERT INTO "state_transition" VALUES(34,'work_order','WO-2026-000003','start','READY','RUNNING','meier','start it','2026-03-14 12:00:10.000009');
INSERT INTO "state_transition" VALUES(35,'operation','WO-2026-000003/10','stop','WAITING','STOPPED','meier','cancel it','2026-03-14 12:00:10.000009');
INSERT INTO "state_transition" VALUES(36,'operation','WO-2026-000003/20','stop','WAITING','STOPPED','meier','cancel it','2026-03-14 12:00:10.000009');
INSERT INTO "state_transition" VALUES(37,'work_order','WO-2026-000003','cancel','RUNNING','CANCELLED','meier','cancel it','2026-03-14 12:00:10.000009');
INSERT INTO "state_transition" VALUES(38,'work_order','WO-2026-000006','start','READY','RUNNING','meier','start it','2026-03-14 12:00:10.000009');
INSERT INTO "state_transition" VALUES(39,'serial','SN26000001','reserve','','RESERVED','mark','part JOB-DONE-0','2026-03-14 12:00:10.500009');
INSERT INTO "state_transition" VALUES(40,'serial','SN26000001','SerialAssigned','RESERVED','ASSIGNED','mark','part JOB-DONE-0','2026-03-14 12:00:10.750009');
INSERT INTO "state_transition" VALUES(41,'serial','SN26000001','MarkAuthorised','ASSIGNED','SPENT','mark','part JOB-DONE-0','2026-03-14 12:00:11.000009');
INSERT INTO "state_transition" VALUES(42,'operation','WO-2026-000006/10','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:11.250009');
INSERT INTO "state_transition" VALUES(43,'operation','WO-2026-000006/20','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:11.500009');
INSERT INTO "state_transition" VALUES(44,'serial','SN26000002','reserve','','RESERVED','mark','part JOB-DONE-1','2026-03-14 12:00:12.250009');
INSERT INTO "state_transition" VALUES(45,'serial','SN26000002','SerialAssigned','RESERVED','ASSIGNED','mark','part JOB-DONE-1','2026-03-14 12:00:12.500009');
INSERT INTO "state_transition" VALUES(46,'serial','SN26000002','MarkAuthorised','ASSIGNED','SPENT','mark','part JOB-DONE-1','2026-03-14 12:00:12.750009');
INSERT INTO "state_transition" VALUES(47,'operation','WO-2026-000006/10','complete','RUNNING','COMPLETED','mes','all 2 parts are released','2026-03-14 12:00:13.500009');
INSERT INTO "state_transition" VALUES(48,'operation','WO-2026-000006/20','complete','RUNNING','COMPLETED','mes','all 2 parts are released','2026-03-14 12:00:13.500009');
INSERT INTO "state_transition" VALUES(49,'work_order','WO-2026-000006','complete','RUNNING','COMPLETED','mes','all 2 parts are released','2026-03-14 12:00:13.500009');
INSERT INTO "state_transition" VALUES(50,'work_order','WO-2026-000007','start','READY','RUNNING','meier','start it','2026-03-14 12:00:13.500009');
INSERT INTO "state_transition" VALUES(51,'serial','SN26000003','reserve','','RESERVED','mark','part JOB-CLOSED-0','2026-03-14 12:00:14.000009');
INSERT INTO "state_transition" VALUES(52,'serial','SN26000003','SerialAssigned','RESERVED','ASSIGNED','mark','part JOB-CLOSED-0','2026-03-14 12:00:14.250009');
INSERT INTO "state_transition" VALUES(53,'serial','SN26000003','MarkAuthorised','ASSIGNED','SPENT','mark','part JOB-CLOSED-0','2026-03-14 12:00:14.500009');
INSERT INTO "state_transition" VALUES(54,'operation','WO-2026-000007/10','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:14.750009');
INSERT INTO "state_transition" VALUES(55,'operation','WO-2026-000007/20','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:15.000009');
INSERT INTO "state_transition" VALUES(56,'operation','WO-2026-000007/10','complete','RUNNING','COMPLETED','mes','all 1 parts are released','2026-03-14 12:00:15.250009');
INSERT INTO "state_transition" VALUES(57,'operation','WO-2026-000007/20','complete','RUNNING','COMPLETED','mes','all 1 parts are released','2026-03-14 12:00:15.250009');
INSERT INTO "state_transition" VALUES(58,'work_order','WO-2026-000007','complete','RUNNING','COMPLETED','mes','all 1 parts are released','2026-03-14 12:00:15.250009');
INSERT INTO "state_transition" VALUES(59,'work_order','WO-2026-000007','close','COMPLETED','CLOSED','meier','close it','2026-03-14 12:00:15.250009');
INSERT INTO "state_transition" VALUES(60,'work_order','WO-2026-000008','start','READY','RUNNING','meier','start it','2026-03-14 12:00:15.250009');
INSERT INTO "state_transition" VALUES(61,'serial','SN26000004','reserve','','RESERVED','mark','part ab-1','2026-03-14 12:00:15.750009');
INSERT INTO "state_transition" VALUES(62,'serial','SN26000004','SerialAssigned','RESERVED','ASSIGNED','mark','part ab-1','2026-03-14 12:00:16.000009');
INSERT INTO "state_transition" VALUES(63,'serial','SN26000004','MarkAuthorised','ASSIGNED','SPENT','mark','part ab-1','2026-03-14 12:00:16.250009');
INSERT INTO "state_transition" VALUES(64,'operation','WO-2026-000008/10','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:16.500009');
INSERT INTO "state_transition" VALUES(65,'operation','WO-2026-000008/20','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:16.750009');
INSERT INTO "state_transition" VALUES(66,'operation','WO-2026-000008/10','stop','RUNNING','STOPPED','meier','abort it','2026-03-14 12:00:17.000009');
INSERT INTO "state_transition" VALUES(67,'operation','WO-2026-000008/20','stop','RUNNING','STOPPED','meier','abort it','2026-03-14 12:00:17.000009');
INSERT INTO "state_transition" VALUES(68,'work_order','WO-2026-000008','abort','RUNNING','ABORTED','meier','abort it','2026-03-14 12:00:17.000009');
INSERT INTO "state_transition" VALUES(69,'work_order','WO-2026-000009','start','READY','RUNNING','meier','start it','2026-03-14 12:00:17.000009');
INSERT INTO "state_transition" VALUES(70,'serial','SN26000005','reserve','','RESERVED','mark','part st-1','2026-03-14 12:00:17.500009');
INSERT INTO "state_transition" VALUES(71,'serial','SN26000005','SerialAssigned','RESERVED','ASSIGNED','mark','part st-1','2026-03-14 12:00:17.750009');
INSERT INTO "state_transition" VALUES(72,'serial','SN26000005','MarkAuthorised','ASSIGNED','SPENT','mark','part st-1','2026-03-14 12:00:18.000009');
INSERT INTO "state_transition" VALUES(73,'operation','WO-2026-000009/10','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:18.250009');
INSERT INTO "state_transition" VALUES(74,'operation','WO-2026-000009/20','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:18.500009');
INSERT INTO "state_transition" VALUES(75,'operation','WO-2026-000009/10','complete','RUNNING','COMPLETED','meier','stop it','2026-03-14 12:00:18.750009');
INSERT INTO "state_transition" VALUES(76,'operation','WO-2026-000009/20','complete','RUNNING','COMPLETED','meier','stop it','2026-03-14 12:00:18.750009');
INSERT INTO "state_transition" VALUES(77,'work_order','WO-2026-000009','stop','RUNNING','COMPLETED','meier','stop it','2026-03-14 12:00:18.750009');
INSERT INTO "state_transition" VALUES(78,'work_order','WO-2026-000004','start','READY','RUNNING','meier','start it','2026-03-14 12:00:18.750009');
INSERT INTO "state_transition" VALUES(79,'serial','SN26000006','reserve','','RESERVED','mark','part su-1','2026-03-14 12:00:19.250009');
INSERT INTO "state_transition" VALUES(80,'serial','SN26000006','SerialAssigned','RESERVED','ASSIGNED','mark','part su-1','2026-03-14 12:00:19.500009');
INSERT INTO "state_transition" VALUES(81,'serial','SN26000006','MarkAuthorised','ASSIGNED','SPENT','mark','part su-1','2026-03-14 12:00:19.750009');
INSERT INTO "state_transition" VALUES(82,'operation','WO-2026-000004/10','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:20.000009');
INSERT INTO "state_transition" VALUES(83,'operation','WO-2026-000004/20','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:20.250009');
INSERT INTO "state_transition" VALUES(84,'work_order','WO-2026-000004','suspend','RUNNING','SUSPENDED','meier','suspend it','2026-03-14 12:00:20.500009');
INSERT INTO "state_transition" VALUES(85,'work_order','WO-2026-000005','start','READY','RUNNING','meier','start it','2026-03-14 12:00:20.500009');
INSERT INTO "state_transition" VALUES(86,'serial','SN26000007','reserve','','RESERVED','mark','part he-1','2026-03-14 12:00:21.000009');
INSERT INTO "state_transition" VALUES(87,'work_order','WO-2026-000005','pause','RUNNING','HELD','meier','pause it','2026-03-14 12:00:21.000009');
INSERT INTO "state_transition" VALUES(88,'work_order','WO-2026-000010','start','READY','RUNNING','meier','start it','2026-03-14 12:00:21.750009');
INSERT INTO "state_transition" VALUES(89,'serial','SN26000008','reserve','','RESERVED','mark','part ru-1','2026-03-14 12:00:22.250009');
INSERT INTO "state_transition" VALUES(90,'serial','SN26000008','SerialAssigned','RESERVED','ASSIGNED','mark','part ru-1','2026-03-14 12:00:22.500009');
INSERT INTO "state_transition" VALUES(91,'serial','SN26000008','MarkAuthorised','ASSIGNED','SPENT','mark','part ru-1','2026-03-14 12:00:22.750009');
INSERT INTO "state_transition" VALUES(92,'operation','WO-2026-000010/10','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:23.000009');
INSERT INTO "state_transition" VALUES(93,'operation','WO-2026-000010/20','start','WAITING','RUNNING','mark','first piece','2026-03-14 12:00:23.250009');
INSERT INTO "state_transition" VALUES(94,'serial','SN26000009','reserve','','RESERVED','mark','part ru-2','2026-03-14 12:00:24.000009');
INSERT INTO "state_transition" VALUES(95,'serial','SN26000009','SerialAssigned','RESERVED','ASSIGNED','mark','part ru-2','2026-03-14 12:00:24.250009');
INSERT INTO "state_transition" VALUES(96,'serial','SN26000009','MarkAuthorised','ASSIGNED','SPENT','mark','part ru-2','2026-03-14 12:00:24.500009');
INSERT INTO "state_transition" VALUES(97,'serial','SN26000010','reserve','','RESERVED','mark','part ru-3','2026-03-14 12:00:25.750009');
INSERT INTO "state_transition" VALUES(98,'serial','SN26000010','SerialAssigned','RESERVED','ASSIGNED','mark','part ru-3','2026-03-14 12:00:26.000009');
INSERT INTO "state_transition" VALUES(99,'serial','SN26000010','MarkAuthorised','ASSIGNED','SPENT','mark','part ru-3','2026-03-14 12:00:26.250009');
INSERT INTO "state_transition" VALUES(100,'serial','SN26000011','reserve','','RESERVED','mark','part ru-4','2026-03-14 12:00:27.250009');
INSERT INTO "state_transition" VALUES(101,'serial','SN26000012','reserve','','RESERVED','mark','part ru-5','2026-03-14 12:00:27.750009');
INSERT INTO "state_transition" VALUES(102,'serial','SN26000012','SerialAssigned','RESERVED','ASSIGNED','mark','part ru-5','2026-03-14 12:00:28.000009');
INSERT INTO "state_transition" VALUES(103,'work_order','WO-2026-000011','create','','CREATED','erp','imported','2026-03-14 12:00:28.750009');
INSERT INTO "state_transition" VALUES(104,'work_order','WO-2026-000011','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:28.750009');
INSERT INTO "state_transition" VALUES(105,'work_order','WO-2026-000011','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:28.750009');
INSERT INTO "state_transition" VALUES(106,'work_order','WO-2026-000011','start','READY','RUNNING','meier','start it','2026-03-14 12:00:28.750009');
INSERT INTO "state_transition" VALUES(107,'operation','WO-2026-000011/10','start','WAITING','RUNNING','anna','','2026-03-14 12:00:28.750009');
INSERT INTO "state_transition" VALUES(108,'operation','WO-2026-000011/10','complete','RUNNING','COMPLETED','anna','','2026-03-14 12:00:28.750009');
INSERT INTO "state_transition" VALUES(109,'work_order','WO-2026-000012','create','','CREATED','erp','imported','2026-03-14 12:00:28.750009');
INSERT INTO "state_transition" VALUES(110,'work_order','WO-2026-000012','release','CREATED','RELEASED','erp','imported','2026-03-14 12:00:28.750009');
INSERT INTO "state_transition" VALUES(111,'work_order','WO-2026-000012','make_ready','RELEASED','READY','erp','imported','2026-03-14 12:00:28.750009');
INSERT INTO "state_transition" VALUES(112,'work_order','WO-2026-000012','start','READY','RUNNING','meier','start it','2026-03-14 12:00:28.750009');
INSERT INTO "state_transition" VALUES(113,'operation','WO-2026-000012/10','start','WAITING','RUNNING','anna','','2026-03-14 12:00:28.750009');
CREATE TABLE unit (
	id INTEGER NOT NULL, 
	part_id VARCHAR NOT NULL, 
	order_id INTEGER, 
	refusal VARCHAR NOT NULL, 
	inspection_verdict VARCHAR, 
	verdict VARCHAR(20), 
	reason VARCHAR NOT NULL, 
	recovered BOOLEAN NOT NULL, 
	arrived_utc DATETIME NOT NULL, 
	released_utc DATETIME, 
	CONSTRAINT pk_unit PRIMARY KEY (id), 
	CONSTRAINT fk_unit_order_id_work_order FOREIGN KEY(order_id) REFERENCES work_order (id), 
	CONSTRAINT uq_unit_part_id UNIQUE (part_id), 
	CONSTRAINT ck_unit_verdict CHECK (verdict IN ('good', 'rejected'))
);
INSERT INTO "unit" VALUES(1,'JOB-DONE-0',6,'','ok','good','',0,'2026-03-14 12:00:10.250009','2026-03-14 12:00:11.750009');
INSERT INTO "unit" VALUES(2,'JOB-DONE-1',6,'','ok','good','',0,'2026-03-14 12:00:12.000009','2026-03-14 12:00:13.500009');
INSERT INTO "unit" VALUES(3,'JOB-CLOSED-0',7,'','ok','good','',0,'2026-03-14 12:00:13.750009','2026-03-14 12:00:15.250009');
INSERT INTO "unit" VALUES(4,'ab-1',8,'','not_ok','rejected','',0,'2026-03-14 12:00:15.500009','2026-03-14 12:00:17.000009');
INSERT INTO "unit" VALUES(5,'st-1',9,'','ok','good','',0,'2026-03-14 12:00:17.250009','2026-03-14 12:00:18.750009');
INSERT INTO "unit" VALUES(6,'su-1',4,'','ok','good','',0,'2026-03-14 12:00:19.000009','2026-03-14 12:00:20.500009');
INSERT INTO "unit" VALUES(7,'he-1',5,'',NULL,NULL,'',0,'2026-03-14 12:00:20.750009',NULL);
INSERT INTO "unit" VALUES(8,'nobody-1',NULL,'no work order is running, WO-2026-000004 is interrupted; resume it',NULL,'rejected','no serial',0,'2026-03-14 12:00:21.250009','2026-03-14 12:00:21.750009');
INSERT INTO "unit" VALUES(9,'ru-1',10,'','ok','good','',0,'2026-03-14 12:00:22.000009','2026-03-14 12:00:23.500009');
INSERT INTO "unit" VALUES(10,'ru-2',10,'','not_ok','rejected','',0,'2026-03-14 12:00:23.750009','2026-03-14 12:00:25.250009');
INSERT INTO "unit" VALUES(11,'ru-3',10,'','ok',NULL,'',0,'2026-03-14 12:00:25.500009',NULL);
INSERT INTO "unit" VALUES(12,'ru-4',10,'',NULL,NULL,'',0,'2026-03-14 12:00:27.000009',NULL);
INSERT INTO "unit" VALUES(13,'ru-5',10,'',NULL,NULL,'',0,'2026-03-14 12:00:27.500009',NULL);
INSERT INTO "unit" VALUES(14,'ru-6',NULL,'',NULL,NULL,'',0,'2026-03-14 12:00:28.250009',NULL);
INSERT INTO "unit" VALUES(15,'ghost',NULL,'',NULL,NULL,'',0,'2026-03-14 12:00:28.500009',NULL);
INSERT INTO "unit" VALUES(16,'ghost2',NULL,'',NULL,'good','',0,'2026-03-14 12:00:28.750009','2026-03-14 12:00:28.750009');
INSERT INTO "unit" VALUES(17,'last',NULL,'',NULL,NULL,'',0,'2026-03-14 12:00:29.000009',NULL);
CREATE TABLE work_order (
	id INTEGER NOT NULL, 
	number VARCHAR NOT NULL, 
	job_order_id VARCHAR NOT NULL, 
	part_definition_id INTEGER NOT NULL, 
	description VARCHAR NOT NULL, 
	quantity INTEGER NOT NULL, 
	quantity_counts VARCHAR(20) NOT NULL, 
	priority INTEGER NOT NULL, 
	parameters JSON NOT NULL, 
	part_version INTEGER NOT NULL, 
	serial_pattern VARCHAR NOT NULL, 
	fields JSON NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	version INTEGER NOT NULL, 
	reserved INTEGER NOT NULL, 
	good INTEGER NOT NULL, 
	rejected INTEGER NOT NULL, 
	planned_start_utc DATETIME, 
	planned_end_utc DATETIME, 
	created_utc DATETIME NOT NULL, 
	started_utc DATETIME, 
	ended_utc DATETIME, 
	CONSTRAINT pk_work_order PRIMARY KEY (id), 
	CONSTRAINT ck_work_order_end_after_start CHECK (ended_utc IS NULL OR started_utc IS NULL OR ended_utc >= started_utc), 
	CONSTRAINT ck_work_order_counters CHECK (good >= 0 AND rejected >= 0 AND good + rejected <= reserved), 
	CONSTRAINT ck_work_order_quantity CHECK (quantity > 0), 
	CONSTRAINT fk_work_order_part_definition_id_part_definition FOREIGN KEY(part_definition_id) REFERENCES part_definition (id), 
	CONSTRAINT uq_work_order_job_order_id UNIQUE (job_order_id), 
	CONSTRAINT uq_work_order_number UNIQUE (number), 
	CONSTRAINT ck_work_order_quantity_counts CHECK (quantity_counts IN ('attempted', 'good')), 
	CONSTRAINT ck_work_order_state CHECK (state IN ('CREATED', 'RELEASED', 'READY', 'RUNNING', 'HELD', 'SUSPENDED', 'COMPLETED', 'CLOSED', 'CANCELLED', 'ABORTED'))
);
INSERT INTO "work_order" VALUES(1,'WO-2026-000001','JOB-READY',1,'Übergröße ‘z’
zweite Zeile',5,'attempted',0,'{"heat": "A;B''C"}',1,'SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": "A;B''C"}','READY',3,0,0,0,NULL,NULL,'2026-03-14 12:00:00.000000',NULL,NULL);
INSERT INTO "work_order" VALUES(2,'WO-2026-000002','JOB-CANCEL',1,'Turbine blade, stage 1',2,'attempted',1,'{"heat": "A;B''C"}',1,'SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": "A;B''C"}','CANCELLED',4,0,0,0,NULL,NULL,'2026-03-14 12:00:01.000000',NULL,'2026-03-14 12:00:10.000009');
INSERT INTO "work_order" VALUES(3,'WO-2026-000003','JOB-CANCELRUN',1,'Turbine blade, stage 1',2,'attempted',2,'{"heat": "A;B''C"}',1,'SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": "A;B''C"}','CANCELLED',5,0,0,0,NULL,NULL,'2026-03-14 12:00:02.000001','2026-03-14 12:00:10.000009','2026-03-14 12:00:10.000009');
INSERT INTO "work_order" VALUES(4,'WO-2026-000004','JOB-SUSP',1,'Turbine blade, stage 1',7,'attempted',3,'{"heat": "A;B''C"}',1,'SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": "A;B''C"}','SUSPENDED',5,1,1,0,NULL,NULL,'2026-03-14 12:00:03.000002','2026-03-14 12:00:18.750009',NULL);
INSERT INTO "work_order" VALUES(5,'WO-2026-000005','JOB-HELD',1,'Turbine blade, stage 1',4,'attempted',4,'{"heat": "A;B''C"}',1,'SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": "A;B''C"}','HELD',5,1,0,0,NULL,NULL,'2026-03-14 12:00:04.000003','2026-03-14 12:00:20.500009',NULL);
INSERT INTO "work_order" VALUES(6,'WO-2026-000006','JOB-DONE',1,'Turbine blade, stage 1',2,'attempted',5,'{"heat": "A;B''C"}',1,'SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": "A;B''C"}','COMPLETED',5,2,2,0,NULL,NULL,'2026-03-14 12:00:05.000004','2026-03-14 12:00:10.000009','2026-03-14 12:00:13.500009');
INSERT INTO "work_order" VALUES(7,'WO-2026-000007','JOB-CLOSED',1,'Turbine blade, stage 1',1,'attempted',6,'{"heat": "A;B''C"}',1,'SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": "A;B''C"}','CLOSED',6,1,1,0,NULL,NULL,'2026-03-14 12:00:06.000005','2026-03-14 12:00:13.500009','2026-03-14 12:00:15.250009');
INSERT INTO "work_order" VALUES(8,'WO-2026-000008','JOB-ABORT',1,'Turbine blade, stage 1',3,'attempted',7,'{"heat": "A;B''C"}',1,'SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": "A;B''C"}','ABORTED',5,1,0,1,NULL,NULL,'2026-03-14 12:00:07.000006','2026-03-14 12:00:15.250009','2026-03-14 12:00:17.000009');
INSERT INTO "work_order" VALUES(9,'WO-2026-000009','JOB-STOP',1,'Turbine blade, stage 1',3,'attempted',8,'{"heat": "A;B''C"}',1,'SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": "A;B''C"}','COMPLETED',5,1,1,0,NULL,NULL,'2026-03-14 12:00:08.000007','2026-03-14 12:00:17.000009','2026-03-14 12:00:18.750009');
INSERT INTO "work_order" VALUES(10,'WO-2026-000010','JOB-RUN',1,'Turbine blade, stage 1',9,'good',9,'{"heat": "H9", "quantity_counts": "good"}',1,'SN{year:02d}{n:06d}','{"cage": "1A2B3", "heat": "H9"}','RUNNING',4,5,1,1,NULL,NULL,'2026-03-14 12:00:09.000008','2026-03-14 12:00:21.750009',NULL);
INSERT INTO "work_order" VALUES(11,'WO-2026-000011','JOB-PREP',3,'',3,'attempted',0,'{}',1,'P{n:04d}','{}','RUNNING',4,0,0,0,NULL,NULL,'2026-03-14 12:00:28.750009','2026-03-14 12:00:28.750009',NULL);
INSERT INTO "work_order" VALUES(12,'WO-2026-000012','JOB-PREP2',3,'',4,'attempted',0,'{}',1,'P{n:04d}','{}','RUNNING',4,0,0,0,NULL,NULL,'2026-03-14 12:00:28.750009','2026-03-14 12:00:28.750009',NULL);
CREATE INDEX ix_audit_record_entity_type_entity_id ON audit_record (entity_type, entity_id);
CREATE INDEX ix_state_transition_entity_type_entity_id ON state_transition (entity_type, entity_id);
CREATE INDEX ix_work_order_state_priority ON work_order (state, priority);
CREATE INDEX ix_unit_order_id_verdict ON unit (order_id, verdict);
CREATE INDEX ix_inspection_unit_id ON inspection (unit_id);
CREATE INDEX ix_mark_serial ON mark (serial);
CREATE INDEX ix_mark_unit_id ON mark (unit_id);
CREATE INDEX ix_serial_order_id ON serial (order_id);
CREATE TRIGGER audit_record_no_update BEFORE UPDATE ON audit_record BEGIN SELECT RAISE(ABORT, 'audit_record is append-only: UPDATE refused'); END;
CREATE TRIGGER audit_record_no_delete BEFORE DELETE ON audit_record BEGIN SELECT RAISE(ABORT, 'audit_record is append-only: DELETE refused'); END;
CREATE TRIGGER state_transition_no_update BEFORE UPDATE ON state_transition BEGIN SELECT RAISE(ABORT, 'state_transition is append-only: UPDATE refused'); END;
CREATE TRIGGER state_transition_no_delete BEFORE DELETE ON state_transition BEGIN SELECT RAISE(ABORT, 'state_transition is append-only: DELETE refused'); END;
CREATE TRIGGER audit_record_no_replace BEFORE INSERT ON audit_record WHEN EXISTS (SELECT 1 FROM audit_record WHERE sequence = NEW.sequence) BEGIN SELECT RAISE(ABORT, 'audit_record is append-only: REPLACE refused'); END;
CREATE TRIGGER state_transition_no_replace BEFORE INSERT ON state_transition WHEN EXISTS (SELECT 1 FROM state_transition WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'state_transition is append-only: REPLACE refused'); END;
COMMIT;
