//! The type `halfvec` in and out.

use pgnear_values::halfvec;

use crate::pg::subscript;
use crate::sql_functions;

sql_functions! {
    halfvec_in => |call| call.return_halfvec(&halfvec::parse(call.cstring(0), call.typmod(2))?);
    halfvec_out => |call| {
        let v = call.halfvec(0)?;
        call.build_cstring(halfvec::print_room(v.len()), |out| halfvec::print_into(v, out))
    };
    halfvec_typmod_in => |call| call.return_int4(halfvec::typmod_in(&call.modifiers(0))?);
    halfvec_recv => |call| {
        let elements = halfvec::from_wire(call.message(0), call.typmod(2))?;
        call.consume(0, halfvec::payload_len(elements.len()));
        call.return_halfvec(&elements)
    };
    halfvec_send => |call| {
        let mut message = Vec::new();
        halfvec::to_wire(call.halfvec(0)?, &mut message)?;
        call.return_bytea(&message)
    };
    halfvec_subscript => |_| Ok(subscript::halfvec_routines());
}
