//! The type `vector` in and out.

use pgnear_values::vector;

use crate::pg::subscript;
use crate::sql_functions;

sql_functions! {
    vector_in => |call| call.return_vector(&vector::parse(call.cstring(0), call.typmod(2))?);
    vector_out => |call| {
        let v = call.vector(0)?;
        call.build_cstring(vector::print_room(v.len()), |out| vector::print_into(v, out))
    };
    vector_typmod_in => |call| call.return_int4(vector::typmod_in(&call.modifiers(0))?);
    vector_recv => |call| {
        let elements = vector::from_wire(call.message(0), call.typmod(2))?;
        call.consume(0, vector::payload_len(elements.len()));
        call.return_vector(&elements)
    };
    vector_send => |call| {
        let mut message = Vec::new();
        vector::to_wire(call.vector(0)?, &mut message)?;
        call.return_bytea(&message)
    };
    vector_subscript => |_| Ok(subscript::vector_routines());
}
