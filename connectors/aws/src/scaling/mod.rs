//! `actuator = 'ec2_auto_scaling'`: an EC2 Auto Scaling group has the size that a scaling group decides.
//!
//! | option | meaning |
//! |---|---|
//! | `auto-scaling-group` | the Auto Scaling group's name; that of the scaling group unless set |
//! | `poll-interval` | how often it is looked at while instances start and stop; 5 s unless set |
//! | `restore-interval` | how often it is looked at between decisions; a minute unless set, `0 s` for never |
//!
//! and those of [`access`](crate::access). Which groups there may be is the configuration's to say (`scaling.auto_scaling_groups`), and
//! that of whoever gives the credentials: they need `autoscaling:DescribeAutoScalingGroups` and `autoscaling:SetDesiredCapacity`.
//!
//! A decision is carried out by setting the desired capacity, which means the same however often it is said, so that a crash in between
//! does no harm. It is over when as many instances are in service and healthy as were decided, and no others are left: then cooldown and
//! warm-up begin. The cooldown there is not heeded, as the scaling group has kept its own. Instances that are not well are replaced by
//! EC2 Auto Scaling itself. Who changes the desired capacity by hand finds it restored. The bounds there must admit the sizes of the
//! scaling group; a size that they do not admit is refused, and the decision given up.

mod ec2;

pub use ec2::ACTUATOR;
