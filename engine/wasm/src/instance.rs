//! A module at work: one call with its own memory, fuel and bounds.

use wasmi::{
    AsContext, AsContextMut, Error, Linker, Memory, Store, StoreLimits, StoreLimitsBuilder, TrapCode, Val,
};

use crate::error::{Result, WasmError};
use crate::module::{Limits, Module, one_line};

/// A module as it was loaded, for one call over rows.
pub(crate) struct Instance {
    store: Store<StoreLimits>,
    inner: wasmi::Instance,
    fuel: u64,
    memory: usize,
}

impl Instance {
    /// For so many rows, of so many bytes together.
    pub(crate) fn new(module: &Module, limits: &Limits, rows: usize, bytes: usize) -> Result<Self> {
        let fuel = limits
            .fuel
            .saturating_add(limits.fuel_per_row.saturating_mul(rows as u64))
            .saturating_add(limits.fuel_per_byte.saturating_mul(bytes as u64));
        let memory = limits.memory.saturating_add(limits.memory_per_byte.saturating_mul(bytes));
        let bounds =
            StoreLimitsBuilder::new().memory_size(memory).table_elements(1 << 16).trap_on_grow_failure(true);
        let engine = module.inner.engine();
        let mut store = Store::new(engine, bounds.build());
        store.limiter(|bounds| bounds);
        let refused = |error: Error| WasmError::Trap(one_line(&error));
        store.set_fuel(fuel).map_err(refused)?;
        let linker = Linker::<StoreLimits>::new(engine);
        let started = linker.instantiate_and_start(&mut store, &module.inner);
        let inner = started.map_err(|error| told(&error, fuel, memory))?;
        Ok(Self { store, inner, fuel, memory })
    }

    /// Calls an export that takes one number and gives one.
    pub(crate) fn call(&mut self, name: &str, argument: Option<u32>) -> Result<u32> {
        let arguments: Vec<Val> = argument.map(|value| Val::I32(value.cast_signed())).into_iter().collect();
        let mut results = [Val::I32(0)];
        self.call_with(name, &arguments, &mut results)?;
        match results[0] {
            Val::I32(value) => Ok(value.cast_unsigned()),
            _ => Err(WasmError::Trap(format!("'{name}' gives no i32"))),
        }
    }

    pub(crate) fn call_with(&mut self, name: &str, arguments: &[Val], results: &mut [Val]) -> Result<()> {
        let function = self.inner.get_func(&self.store, name);
        let function = function.ok_or_else(|| WasmError::Trap(format!("there is no '{name}'")))?;
        function
            .call(&mut self.store, arguments, results)
            .map_err(|error| told(&error, self.fuel, self.memory))
    }

    /// Bytes of its memory; `None` if they are not all within.
    pub(crate) fn read(&self, address: u32, bytes: usize) -> Option<&[u8]> {
        let memory = self.memory()?.data(self.store.as_context());
        let start = usize::try_from(address).ok()?;
        memory.get(start..start.checked_add(bytes)?)
    }

    /// Puts bytes into its memory; `None` if there is no place for all of them.
    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> Option<()> {
        let memory = self.memory()?.data_mut(self.store.as_context_mut());
        let start = usize::try_from(address).ok()?;
        memory.get_mut(start..start.checked_add(bytes.len())?)?.copy_from_slice(bytes);
        Some(())
    }

    fn memory(&self) -> Option<Memory> {
        self.inner.get_memory(&self.store, "memory")
    }
}

fn told(error: &Error, fuel: u64, memory: usize) -> WasmError {
    match error.as_trap_code() {
        Some(TrapCode::OutOfFuel) => WasmError::Fuel(fuel),
        Some(TrapCode::GrowthOperationLimited) => WasmError::Memory(memory),
        Some(TrapCode::OutOfSystemMemory) => WasmError::Memory(memory),
        _ => WasmError::Trap(one_line(error)),
    }
}
