//! The type `sparsevec` in and out.

use pgnear_values::sparsevec;

use crate::sql_functions;

sql_functions! {
    sparsevec_in => |call| {
        call.return_sparsevec(sparsevec::parse(call.cstring(0), call.typmod(2))?.as_ref())
    };
    sparsevec_out => |call| {
        let v = call.sparsevec(0)?;
        call.build_cstring(sparsevec::print_room(v.indices.len()), |out| sparsevec::print_into(v, out))
    };
    sparsevec_typmod_in => |call| call.return_int4(sparsevec::typmod_in(&call.modifiers(0))?);
    sparsevec_recv => |call| {
        let value = sparsevec::from_wire(call.message(0), call.typmod(2))?;
        call.consume(0, sparsevec::payload_len(value.indices.len()));
        call.return_sparsevec(value.as_ref())
    };
    sparsevec_send => |call| {
        let mut message = Vec::new();
        sparsevec::to_wire(call.sparsevec(0)?, &mut message)?;
        call.return_bytea(&message)
    };
}
